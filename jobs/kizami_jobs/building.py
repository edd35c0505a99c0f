"""Building all parts on the cluster: blocks of texts shuffled into parts, one task a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)

from kizami import layout
from kizami.analysis.user_dictionary import UserDictionary
from kizami.analysis.watchdog import AnalyserFaultError
from kizami.config import CorpusConfig
from kizami.errors import UnavailableError
from kizami.input_digests import no_digests, to_hex
from kizami.part_builder import BuiltPart, PartJob
from kizami.parts import Bounds
from kizami.predecessor import PlannedPart
from kizami.renewal import NOTHING, Renewal
from kizami.stores import ObjectStore
from kizami_jobs.progress import Progress
from kizami_jobs.tasks import ProgressBoard, SharedStore, WorkerReport, derive_versions, make_part, split_blocks

_POLL_SECONDS: Final = 0.5
_BLOCKS_AT_ONCE: Final = 8
"""Blocks cut by one task: 64 MiB of text at the most, and an eighth of the objects that one task a block would make."""
_ATTEMPTS: Final = 4
"""At one part. A text that ends its worker takes two of them; the rest is for workers that die of something else."""
_LOSSES: Final[Mapping[type[Exception], str]] = {
    WorkerCrashedError: "its worker died",
    OutOfMemoryError: "its worker was ended for lack of memory on its host",
    NodeDiedError: "its host died",
    ObjectLostError: "its data were lost with a host",
    RaySystemError: "no worker could be started or reached",
}
"""What Ray says of an attempt that did not fail by its own doing."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """At a part, under way."""

    job: PartJob
    slices: Sequence[Any]
    """References to the pieces of the part, held for the next attempt."""
    failed: tuple[str, ...] = ()
    """What became of the attempts before it."""


def part_jobs(
    corpus: CorpusConfig,
    run: str,
    files: Sequence[str],
    parts: Sequence[PlannedPart],
    *,
    fingerprint: str,
    renewal: Renewal = NOTHING,
    lines_before: tuple[int, ...] = (),
) -> list[PartJob]:
    """One job for each part that has to be made, in the order of the bounds."""
    return [
        PartJob(
            corpus=corpus.name,
            run=run,
            fields=corpus.fields,
            files=tuple(files),
            number=part.number,
            lower=part.lower,
            upper=part.upper,
            fingerprint=fingerprint,
            previous=part.previous,
            renewal=renewal.within(part.lower, part.upper),
            lines_before=lines_before,
        )
        for part in parts
        if not part.copied
    ]


def build_parts(
    jobs: Sequence[PartJob],
    bounds: Bounds,
    blocks: list[Any],
    corpus: CorpusConfig,
    shared: SharedStore,
    *,
    user: UserDictionary | None,
    versions: tuple[str, ...] = (),
    progress: Progress,
    check: Callable[[], None],
    on_loss: Callable[[int, str], None] = lambda _part, _what: None,
) -> tuple[list[WorkerReport], list[str]]:
    """Build the parts of the jobs; their reports, in the order of the jobs, and the input digests of all parts.

    ``versions`` are the names of those of the schema to derive from each part. ``blocks`` are references to Blocks and
    are used up, so that Ray can free each as soon as it is cut. ``check`` is called now and then and may raise to end
    it; whatever ends it, no task goes on. ``on_loss`` is told of each attempt that did not finish its part: the part's
    number, and what became of the attempt.
    """
    board: Any = ProgressBoard.remote()  # type: ignore[attr-defined]  # Ray adds it to the class

    words = None if user is None else ray.put(user)  # once, however many parts there are

    def submit(attempt: _Attempt) -> Any:
        guarded = bool(attempt.failed)
        return make_part.remote(attempt.job, corpus, shared, board, guarded, words, versions, *attempt.slices)

    slices, digests = shuffle(blocks, bounds, tuple(job.number for job in jobs))
    attempts = [_Attempt(job, own) for job, own in zip(jobs, slices, strict=True)]
    del slices
    pending = {submit(attempt): attempt for attempt in attempts}
    del attempts
    built: list[WorkerReport] = []
    try:
        while pending:
            done, _ = ray.wait(list(pending), num_returns=len(pending), timeout=_POLL_SECONDS)
            for task in done:
                attempt = pending.pop(task)
                outcome = _outcome(task, attempt)
                if isinstance(outcome, WorkerReport):
                    built.append(outcome)
                else:
                    number, failed = attempt.job.number, outcome.failed
                    on_loss(number, failed[-1])
                    progress.say(f"part {number}: attempt {len(failed)} of {_ATTEMPTS}: {failed[-1]}; trying it again")
                    pending[submit(outcome)] = outcome
            check()
            progress.texts(ray.get(board.total.remote()))
    finally:
        for task in pending:
            ray.cancel(task, force=True)
    total = sum(ray.get(digests), start=no_digests(len(bounds)))
    return sorted(built, key=lambda report: report.part.number), to_hex(total)


def derive_parts(
    parts: Sequence[BuiltPart],
    corpus: str,
    run: str,
    versions: tuple[str, ...],
    shared: SharedStore,
    *,
    check: Callable[[], None],
) -> list[BuiltPart]:
    """Derive what copied parts lack of versions of the schema, given by name; the parts, in the order given.

    ``check`` is as that of ``build_parts``.
    """
    tasks = [derive_versions.remote(corpus, run, part, versions, shared) for part in parts]
    pending = list(tasks)
    try:
        while pending:
            done, pending = ray.wait(pending, num_returns=len(pending), timeout=_POLL_SECONDS)
            ray.get(done)  # an error ends it at once
            check()
    finally:
        for task in pending:
            ray.cancel(task, force=True)
    made: list[BuiltPart] = ray.get(tasks)
    return made


def _outcome(task: Any, attempt: _Attempt) -> WorkerReport | _Attempt:
    """The report of a finished task, or the attempt to make after it. Raises what another attempt would not change."""
    try:
        report: WorkerReport = ray.get(task)
    except RayError as error:
        loss = _loss(error)
        if loss is None or len(attempt.failed) + 1 == _ATTEMPTS:
            raise
        return replace(attempt, failed=(*attempt.failed, loss))
    return report


def _loss(error: Exception) -> str | None:
    """How an attempt was lost, None where the task itself raised an error."""
    if isinstance(error, RayTaskError):
        return str(error.cause) if isinstance(error.cause, AnalyserFaultError) else None
    return next((words for kind, words in _LOSSES.items() if isinstance(error, kind)), None)


def shuffle(blocks: list[Any], bounds: Bounds, wanted: tuple[int, ...]) -> tuple[list[list[Any]], list[Any]]:
    """Cut blocks into parts: for each part wanted, references to its pieces; and references to the digests."""
    slices: list[list[Any]] = [[] for _ in wanted]
    digests = []
    cut = split_blocks.options(num_returns=1 + len(wanted))
    while blocks:
        some, blocks[:_BLOCKS_AT_ONCE] = blocks[:_BLOCKS_AT_ONCE], []
        sums, *pieces = cut.remote(bounds, wanted, *some)
        digests.append(sums)
        for own, piece in zip(slices, pieces, strict=True):
            own.append(piece)
    return slices, digests


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
