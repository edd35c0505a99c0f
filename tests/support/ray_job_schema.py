"""The schema of KubeRay's RayJob, as its documentation has it (ray.io/v1): what a manifest may and must say.

Pods within it are Kubernetes's own and are checked with its schemas.
"""

from __future__ import annotations

from typing import Any, Final


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


_STRING: Final = {"type": "string"}
_STRINGS: Final = {"type": "object", "additionalProperties": _STRING}
_BOOLEAN: Final = {"type": "boolean"}
_COUNT: Final = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_POD_TEMPLATE: Final = _object(["spec"], metadata={"type": "object"}, spec={"type": "object"})

_CLUSTER: Final = _object(
    ["headGroupSpec"],
    rayVersion=_STRING,
    enableInTreeAutoscaling=_BOOLEAN,
    autoscalerOptions={"type": "object"},
    headServiceAnnotations=_STRINGS,
    suspend=_BOOLEAN,
    headGroupSpec=_object(
        ["rayStartParams", "template"],
        serviceType=_STRING,
        headService={"type": "object"},
        enableIngress=_BOOLEAN,
        rayStartParams=_STRINGS,
        template=_POD_TEMPLATE,
    ),
    workerGroupSpecs={
        "type": "array",
        "items": _object(
            ["groupName", "maxReplicas", "minReplicas", "rayStartParams", "template"],
            groupName=_STRING,
            replicas=_COUNT,
            minReplicas=_COUNT,
            maxReplicas=_COUNT,
            numOfHosts=_COUNT,
            rayStartParams=_STRINGS,
            template=_POD_TEMPLATE,
            scaleStrategy={"type": "object"},
        ),
    },
)

RAY_JOB: Final = _object(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata={"type": "object"},
    spec=_object(
        [],
        activeDeadlineSeconds={"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
        backoffLimit=_COUNT,
        clusterSelector=_STRINGS,
        deletionStrategy={"type": "object"},
        entrypoint=_STRING,
        entrypointNumCpus={"type": "number"},
        entrypointNumGpus={"type": "number"},
        entrypointResources=_STRING,
        jobId=_STRING,
        managedBy={"enum": ["ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"]},
        metadata=_STRINGS,
        rayClusterSpec=_CLUSTER,
        runtimeEnvYAML=_STRING,
        shutdownAfterJobFinishes=_BOOLEAN,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        submitterConfig=_object([], backoffLimit=_COUNT),
        submitterPodTemplate=_POD_TEMPLATE,
        suspend=_BOOLEAN,
        ttlSecondsAfterFinished=_COUNT,
    ),
)
