"""Manifests for Kubernetes: a CronJob that submits or runs, and KubeRay's RayJob, which brings a cluster of its own.

Both expect a ConfigMap ``kizami`` with the key ``kizami.toml``, and credentials in a Secret ``kizami``.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from typing import Any, Final

from kizami.schedules import Schedule

CONFIG_FILE: Final = "/etc/kizami/kizami.toml"
"""Where the configuration is in the containers."""
_NAME_AT_MOST: Final = 40
"""Characters: names of jobs and pods are made of it, of which KubeRay allows 47 and Kubernetes 63."""
_CONTAINER_LIMITS: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where in Kubernetes it runs, and with what."""

    image: str
    namespace: str | None = None
    workers: int = 2
    """Of a RayJob."""
    cpu: str = "2"
    memory: str = "4Gi"
    """Of each container that analyses."""


def cron_job(schedule: Schedule, cluster: Cluster, *, analyses: bool) -> dict[str, Any]:
    """A CronJob. ``analyses`` tells whether its pod does the work itself instead of submitting it."""
    resources = _resources(cluster.cpu, cluster.memory) if analyses else _resources("100m", "512Mi")
    pod = {**_pod(cluster, resources), "restartPolicy": "Never", "terminationGracePeriodSeconds": 60}
    pod["containers"][0]["command"] = [_literal(word) for word in schedule.command]
    if analyses:  # Ray keeps its objects in shared memory, of which a container has 64 MB
        pod["volumes"].append({"name": "shm", "emptyDir": {"medium": "Memory"}})
        pod["containers"][0]["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})
    metadata = _metadata(schedule, cluster)
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name_of(schedule.corpus), **metadata},
        "spec": {
            "schedule": f"{schedule.at.minute} {schedule.at.hour} * * *",
            "timeZone": schedule.zone,
            "concurrencyPolicy": "Forbid",
            # A missed day is made up for once, as long as it is that day.
            "startingDeadlineSeconds": schedule.seconds_of_day - 1,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 7,
            "jobTemplate": {
                "metadata": {"labels": metadata["labels"]},
                "spec": {
                    # The run makes its own attempts; a second pod would only find the same fault.
                    "backoffLimit": 0,
                    "activeDeadlineSeconds": schedule.timeout_seconds,
                    "template": {"metadata": {"labels": metadata["labels"]}, "spec": pod},
                },
            },
        },
    }


def ray_job(schedule: Schedule, cluster: Cluster, ray_version: str) -> dict[str, Any]:
    """A RayJob that runs the command once, on a cluster made for it. Its name is made anew each time it is created."""
    resources = _resources(cluster.cpu, cluster.memory)

    def template(name: str) -> dict[str, Any]:
        pod = _pod(cluster, resources)
        pod["containers"][0]["name"] = name
        return {"spec": pod}

    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"generateName": f"{name_of(schedule.corpus)}-", **_metadata(schedule, cluster)},
        "spec": {
            "entrypoint": shlex.join(schedule.command),
            "submissionMode": "K8sJobMode",
            "backoffLimit": 0,
            "submitterConfig": {"backoffLimit": 0},
            "activeDeadlineSeconds": schedule.timeout_seconds,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,
            "rayClusterSpec": {
                "rayVersion": ray_version,
                "headGroupSpec": {"rayStartParams": {}, "template": template("ray-head")},
                "workerGroupSpecs": [
                    {
                        "groupName": "workers",
                        "replicas": cluster.workers,
                        "minReplicas": cluster.workers,
                        "maxReplicas": cluster.workers,
                        "rayStartParams": {},
                        "template": template("ray-worker"),
                    }
                ],
            },
        },
    }


def name_of(corpus: str) -> str:
    """A name that Kubernetes takes, another one for every corpus."""
    name = f"kizami-{corpus}"
    if "_" not in name and not name.endswith("-") and len(name) <= _NAME_AT_MOST:
        return name
    digest = hashlib.sha256(corpus.encode()).hexdigest()[:8]
    return f"{name.replace('_', '-')[: _NAME_AT_MOST - 9].rstrip('-')}-{digest}"


def _metadata(schedule: Schedule, cluster: Cluster) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "kizami", "app.kubernetes.io/instance": name_of(schedule.corpus)}
    return {**({"namespace": cluster.namespace} if cluster.namespace else {}), "labels": labels}


def _resources(cpu: str, memory: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}


def _pod(cluster: Cluster, resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "securityContext": {"runAsNonRoot": True},
        "containers": [
            {
                "name": "kizami",
                "image": cluster.image,
                "envFrom": [{"secretRef": {"name": "kizami", "optional": True}}],
                "resources": resources,
                "securityContext": dict(_CONTAINER_LIMITS),
                "volumeMounts": [{"name": "config", "mountPath": "/etc/kizami", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "kizami"}}],
    }


def _literal(word: str) -> str:
    """A word of a command in which Kubernetes is to replace nothing: it takes ``$(NAME)`` for a variable."""
    return word.replace("$(", "$$(")
