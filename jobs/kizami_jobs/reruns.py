"""Tasks that Ray ran again by itself, because their worker or host was lost or what they had made was lost with it.

Ray tells nobody. So a task that is not at its first attempt leaves a note in the cluster's key-value store, under the
job's id, and the driver collects the notes for the ledger.
"""

from __future__ import annotations

from typing import Any, Final

import ray
from ray.experimental import internal_kv

_NAMESPACE: Final = b"kizami-reruns"


def announce(what: str) -> None:
    """In a task: say what it does, if it does it again. ``what`` is without any text of the corpus."""
    worker: Any = ray._private.worker.global_worker
    core = worker.core_worker  # the only place that knows
    attempt = core.get_current_task_attempt_number()
    if attempt:
        key = f"{ray.get_runtime_context().get_job_id()}:{core.get_current_task_id().hex()}:{attempt}"
        internal_kv._internal_kv_put(key, what.encode(), namespace=_NAMESPACE)


def collect() -> list[str]:
    """In the driver: what was announced since the last time."""
    prefix = f"{ray.get_runtime_context().get_job_id()}:"
    found = []
    for key in sorted(internal_kv._internal_kv_list(prefix, namespace=_NAMESPACE)):
        found.append(internal_kv._internal_kv_get(key, namespace=_NAMESPACE).decode())
        internal_kv._internal_kv_del(key, namespace=_NAMESPACE)
    return found
