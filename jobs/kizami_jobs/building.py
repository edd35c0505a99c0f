"""Building all parts on the cluster: blocks of texts shuffled into parts, one task a part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import ray
from ray.exceptions import RayError

from kizami import layout
from kizami.analysis.user_dictionary import UserDictionary
from kizami.config import CorpusConfig
from kizami.deadline import duration
from kizami.errors import DeadlineError, UnavailableError
from kizami.input_digests import no_digests, to_hex
from kizami.ledger import FailedAttempt
from kizami.part_builder import BuiltPart, Done, PartJob
from kizami.parts import Bounds
from kizami.predecessor import PlannedPart
from kizami.renewal import NOTHING, Renewal
from kizami.stores import ObjectStore
from kizami_jobs.board import Attempt, Board, Standing
from kizami_jobs.progress import Progress
from kizami_jobs.retries import OnLoss, PutOff, retry, trying_again
from kizami_jobs.tasks import (
    SharedStore,
    WorkerReport,
    derive_versions,
    make_part,
    split_blocks,
)

_POLL_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 1.0
"""How often at the most the driver looks at the board."""
_BLOCKS_AT_ONCE: Final = 8
"""Blocks cut by one task: 64 MiB of text at the most, and an eighth of the objects that one task a block would make."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """At a part, under way."""

    job: PartJob
    slices: Sequence[Any]
    """References to the pieces of the part, held for the next attempt."""
    failed: tuple[str, ...] = ()
    """What became of the attempts before it."""
    wait_seconds: float = 0.0
    """How long it is put off."""

    @property
    def on_board(self) -> Attempt:
        """What it is called on the board."""
        return Attempt(self.job.number, len(self.failed))


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
    on_loss: OnLoss = lambda _failed: None,
) -> tuple[list[WorkerReport], list[str]]:
    """Build the parts of the jobs, at least one; their reports, in the order of the jobs, and the input digests of all
    parts.

    ``versions`` are the names of those of the schema to derive from each part. ``blocks`` are references to Blocks and
    are used up, so that Ray can free each as soon as it is cut. ``check`` is called now and then and may raise to end
    it; whatever ends it, no task goes on. ``on_loss`` is told of each attempt that did not finish its part. Raises
    DeadlineError where a part takes longer than the corpus allows.
    """
    # First of all: the workers cut while the driver sees to the rest.
    slices, digests = shuffle(blocks, bounds, tuple(job.number for job in jobs))
    board = Board(jobs[0].run)
    words = None if user is None else ray.put(user)  # once, however many parts there are

    def submit(attempt: _Attempt) -> Any:
        before = len(attempt.failed)
        return make_part.remote(attempt.job, corpus, shared, board, before, words, versions, *attempt.slices)

    attempts = [_Attempt(job, own) for job, own in zip(jobs, slices, strict=True)]
    del slices
    pending = {submit(attempt): attempt for attempt in attempts}
    del attempts
    put_off = PutOff[_Attempt]()
    built: list[WorkerReport] = []
    standing, looked = Standing(), time.monotonic()
    try:
        while pending or put_off:
            done = _wait(list(pending))
            for task in done:
                attempt = pending.pop(task)
                board.wipe(attempt.on_board)
                outcome = _outcome(task, attempt)
                if isinstance(outcome, WorkerReport):
                    built.append(outcome)
                else:
                    failed = FailedAttempt(attempt.job.number, outcome.failed[-1], outcome.wait_seconds)
                    on_loss(failed)
                    progress.say(f"part {failed.part}: {trying_again(failed, len(outcome.failed))}")
                    put_off.add(outcome, outcome.wait_seconds)
            pending |= {submit(attempt): attempt for attempt in put_off.due()}
            check()
            now = time.monotonic()
            if now - looked < _LOOK_SECONDS:
                continue
            looked = now
            standing.update(board.told(), {attempt.on_board for attempt in pending.values()}, now)
            limit = corpus.part_time_limit_seconds
            if limit is not None and (part := standing.overdue(limit, now)) is not None:
                raise _overdue(part, corpus.name, limit)
            progress.advance(Done.of_all([standing.done, *(report.part for report in built)]))
        progress.advance(Done.of_all(report.part for report in built))
    finally:
        for task in pending:
            ray.cancel(task, force=True)
        board.clear()
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
    on_loss: OnLoss = lambda _failed: None,
) -> list[BuiltPart]:
    """Derive what copied parts lack of versions of the schema, given by name; the parts, in the order given.

    ``check`` and ``on_loss`` are as those of ``build_parts``; a lost worker Ray replaces by itself.
    """

    def submit(part: BuiltPart) -> Any:
        return derive_versions.remote(corpus, run, part, versions, shared)

    pending = {submit(part): (place, 1) for place, part in enumerate(parts)}
    put_off = PutOff[tuple[int, int]]()
    made: dict[int, BuiltPart] = {}
    try:
        while pending or put_off:
            for task in _wait(list(pending)):
                place, attempts = pending.pop(task)
                try:
                    made[place] = ray.get(task)
                except RayError as error:
                    again = retry(error, attempts)
                    if again is None:
                        raise
                    on_loss(FailedAttempt(parts[place].number, *again))
                    put_off.add((place, attempts + 1), again[1])
            pending |= {submit(parts[place]): (place, attempts) for place, attempts in put_off.due()}
            check()
    finally:
        for task in pending:
            ray.cancel(task, force=True)
    return [made[place] for place in range(len(parts))]


def _wait(tasks: list[Any]) -> list[Any]:
    """Those that are finished, after a moment."""
    if not tasks:
        time.sleep(_POLL_SECONDS)
        return []
    done, _ = ray.wait(tasks, num_returns=len(tasks), timeout=_POLL_SECONDS)
    return done


def _overdue(part: int, corpus: str, limit_seconds: float) -> DeadlineError:
    return DeadlineError(
        f"part {part} took longer than the part_time_limit of {corpus}, {duration(limit_seconds)}: nothing was "
        "published; what is finished is taken over when the run is started again; see to the host, lower part_bytes, "
        "or raise the limit"
    )


def _outcome(task: Any, attempt: _Attempt) -> WorkerReport | _Attempt:
    """The report of a finished task, or the attempt to make after it. Raises what another attempt would not change."""
    try:
        report: WorkerReport = ray.get(task)
    except RayError as error:
        again = retry(error, len(attempt.failed) + 1)
        if again is None:
            raise
        loss, wait_seconds = again
        return replace(attempt, failed=(*attempt.failed, loss), wait_seconds=wait_seconds)
    return report


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
