"""Warming: the workers of a new Ray import what their tasks need while the driver still sees what there is to do."""

from __future__ import annotations

from typing import Final

import ray

_MOST: Final = 8
"""Workers to warm up: a small corpus needs no more, and of a large one the start is a small share."""


def warm_up() -> None:
    """Have some workers, one a processor, import all that tasks need. Returns at once.

    For a Ray that has nothing else to do: it may ask for every processor.
    """
    processors = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
    for _ in range(min(processors, _MOST)):
        _import_tasks.remote()


@ray.remote(num_cpus=1, max_retries=0)
def _import_tasks() -> None:
    # Named here: Ray sends a function by value, with no more modules than it names.
    import kizami_jobs.tasks  # noqa: F401, PLC0415
