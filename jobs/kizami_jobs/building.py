"""Building all parts on the cluster: blocks of texts shuffled into parts, one task a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import ray

from kizami import layout
from kizami.config import CorpusConfig
from kizami.errors import UnavailableError
from kizami.part_builder import PartJob
from kizami.parts import Bounds
from kizami.stores import ObjectStore
from kizami_jobs.progress import Progress
from kizami_jobs.tasks import ProgressBoard, SharedStore, WorkerReport, make_part, split_blocks

_POLL_SECONDS: Final = 0.5
_BLOCKS_AT_ONCE: Final = 8
"""Blocks cut by one task: 64 MiB of text at the most, and an eighth of the objects that one task a block would make."""


def part_jobs(corpus: CorpusConfig, run: str, files: Sequence[str], bounds: Bounds, fingerprint: str) -> list[PartJob]:
    """One job a part, in the order of the bounds."""
    uppers = [*bounds[1:], None]
    return [
        PartJob(corpus.name, run, corpus.fields, tuple(files), number, lower, upper, fingerprint)
        for number, (lower, upper) in enumerate(zip(bounds, uppers, strict=True))
    ]


def build_parts(
    jobs: Sequence[PartJob],
    blocks: list[Any],
    corpus: CorpusConfig,
    shared: SharedStore,
    *,
    progress: Progress,
    check: Callable[[], None],
) -> list[WorkerReport]:
    """Build all parts; their reports come in the order of the jobs.

    ``blocks`` are references to tables of schema TEXTS and are used up, so that Ray can free each as soon as it is cut.
    ``check`` is called now and then and may raise to end it; whatever ends it, no task goes on.
    """
    board: Any = ProgressBoard.remote()  # type: ignore[attr-defined]  # Ray adds it to the class
    slices = _shuffle(blocks, tuple(job.lower for job in jobs))
    pending = [make_part.remote(job, corpus, shared, board, *own) for job, own in zip(jobs, slices, strict=True)]
    del slices
    built: list[WorkerReport] = []
    try:
        while pending:
            done, pending = ray.wait(pending, num_returns=len(pending), timeout=_POLL_SECONDS)
            built += ray.get(done)
            check()
            progress.texts(ray.get(board.total.remote()))
    finally:
        for task in pending:
            ray.cancel(task, force=True)
    return sorted(built, key=lambda report: report.part.number)


def _shuffle(blocks: list[Any], bounds: Bounds) -> list[list[Any]]:
    """Cut blocks into parts: for each part, references to its pieces."""
    slices: list[list[Any]] = [[] for _ in bounds]
    while blocks:
        some, blocks[:_BLOCKS_AT_ONCE] = blocks[:_BLOCKS_AT_ONCE], []
        pieces = split_blocks.options(num_returns=len(bounds)).remote(bounds, *some)
        for own, piece in zip(slices, pieces if len(bounds) > 1 else [pieces], strict=True):
            own.append(piece)
    return slices


@contextmanager
def probed(store: ObjectStore, corpus: str, run: str) -> Iterator[SharedStore]:
    """The store for the workers; where it is a folder and there are several hosts, with a probe they must find."""
    if store.url.startswith("s3://") or len(ray.nodes()) < 2:  # type: ignore[no-untyped-call]
        yield SharedStore(store.url, None)
        return
    key = f"{layout.staging_prefix(corpus)}{run}.probe"
    store.put(key, b"written by the driver for its workers\n")
    try:
        yield SharedStore(store.url, key)
    finally:
        with suppress(UnavailableError):
            store.delete([key])
