"""The ledger: one entry a run, ``runs/{run}.json``, whatever became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Final

from kizami import json_form, layout
from kizami.errors import DataError, KizamiError, RunExistsError
from kizami.gates import Gate
from kizami.stores.base import ConditionFailedError, ObjectMissingError, ObjectStore


class State(StrEnum):
    """What became of a run."""

    STARTED = "started"
    """Running, or died without a word: whoever takes its lock over finds out."""
    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    """The input was that of the published snapshot of the date: nothing to do."""
    CANDIDATE = "candidate"
    """A snapshot was made and not published, as asked."""
    HELD = "held"
    """A gate was closed: the snapshot is in the store, not published."""
    REFUSED = "refused"
    """Another run held the lock."""
    DONE = "done"
    """A verb other than ``run`` did what it was asked to."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    DIED = "died"
    """Its lock expired. With a snapshot in its entry it died after its commit, which stands."""


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """Why a run failed."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How far a run came."""

    documents: int = 0
    texts: int = 0
    rows: int = 0
    tokens: int = 0
    quarantined: int = 0
    forgotten: int = 0
    """Texts of the source left out because their document is to be forgotten."""
    parts: int = 0
    parts_copied: int = 0
    """Parts in which nothing had changed: copied from the predecessor."""
    parts_analysed: int = 0
    """Parts written by this run."""
    parts_reused: int = 0
    """Parts found finished in staging, left by a run that did not end."""
    parts_derived: int = 0
    """Parts of other versions of the schema that were made of those of the first, and not copied."""
    texts_analysed: int = 0
    """Texts given to MeCab by this run."""
    texts_reused: int = 0
    """Texts whose tokens were taken over from the predecessor."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt at a part, or at something all parts need, that did not finish it."""

    part: int | None
    """Its number in the snapshot, from 0; None for reading the source and cutting it into parts."""
    what: str
    """What became of the attempt, as a sentence without the text."""
    wait_seconds: float = 0.0
    """How long the next one was put off."""


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One run."""

    run: str
    verb: str
    corpus: str
    date: str
    state: State
    stage: str
    """The stage the run is in, or ended in."""
    started_at: str
    ended_at: str | None = None
    exit_code: int | None = None
    error: ErrorEntry | None = None
    snapshot: str | None = None
    """What it published, found published, or left in the store unpublished; the state says which."""
    fingerprint: str | None = None
    counts: RunCounts = RunCounts()
    gates: tuple[Gate, ...] = ()
    """The verdicts on its snapshot; empty where it came to none."""
    schemas: tuple[int, ...] = (1,)
    """Major versions of the schema that it makes or publishes."""
    quarantined_by_reason: Mapping[str, int] = field(default_factory=dict)
    """Texts held back, by reason code."""
    failed_attempts: tuple[FailedAttempt, ...] = ()
    """In the order in which they failed; each was followed by another."""
    late_since: str | None = None
    """When the run had taken longer than the configuration expects."""
    outcome: str | None = None
    """What a verb other than ``run`` did or was asked to, in a line."""
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall clock by stage, in the order they were entered."""
    peak_worker_bytes: int | None = None
    """The largest private memory (USS) any worker process reported."""
    worker_seconds: float | None = None
    """Wall clock of building parts, added up over all of them: over the workers at once, what the stage must take."""
    worker_cpu_seconds: float | None = None
    """Processor time of building parts, added up over all of them."""
    versions: Mapping[str, str] = field(default_factory=dict)
    process: str | None = None
    """Host, process id and a random word: which process makes the run. A second one of the same id differs in it."""


class Ledger:
    """Entries of one corpus. An entry is changed by its own run, and by the one that finds that run dead."""

    def __init__(self, store: ObjectStore, corpus: str) -> None:
        self._store: Final = store
        self._corpus: Final = corpus
        self._etags: dict[str, str] = {}

    def write(self, entry: RunEntry) -> None:
        """Write an entry over the version this object wrote last; create it where there was none.

        An entry that somebody else has closed in the meantime stays as it is: a run that was taken for dead does not
        rewrite its own obituary. Raises UnavailableError, and RunExistsError where another process has begun this run.
        """
        key = layout.run_key(self._corpus, entry.run)
        body = json_form.encode(entry)
        try:
            if (etag := self._etags.get(entry.run)) is None:
                self._etags[entry.run] = self._store.create(key, body)
            else:
                self._etags[entry.run] = self._store.replace(key, body, etag)
        except ConditionFailedError:
            stored = self._store.get(key)
            found = _decode(stored.body, key)
            if found.process != entry.process:
                raise RunExistsError(exists(found)) from None
            if stored.body == body:  # our own write, whose answer was lost
                self._etags[entry.run] = stored.etag
            elif found.state is State.STARTED:  # an earlier write of ours, whose answer was lost
                self._etags[entry.run] = self._store.replace(key, body, stored.etag)

    def close_dead(self, run: str, ended_at: str, snapshot: str | None) -> None:
        """Mark a run as died, unless it closed its entry itself or never wrote one.

        ``snapshot`` is what it published all the same, if it died after its commit.
        """
        key = layout.run_key(self._corpus, run)
        try:
            stored = self._store.get(key)
            entry = _decode(stored.body, key)
            if entry.state is State.STARTED:
                dead = replace(entry, state=State.DIED, ended_at=ended_at, snapshot=snapshot)
                self._store.replace(key, json_form.encode(dead), stored.etag)
        except (ObjectMissingError, ConditionFailedError):
            return

    def find(self, run: str) -> RunEntry | None:
        """A run's entry, None where it has none. Raises UnavailableError, DataError."""
        key = layout.run_key(self._corpus, run)
        try:
            return _decode(self._store.get(key).body, key)
        except ObjectMissingError:
            return None

    def history(self, limit: int | None = None, say: Callable[[str], None] | None = None) -> list[RunEntry]:
        """The newest ``limit`` entries, or all, the newest first, as :meth:`newest` gives them."""
        return list(islice(self.newest(say), limit))

    def newest(self, say: Callable[[str], None] | None = None) -> Iterator[RunEntry]:
        """All entries, the newest first, each read when it is asked for. Raises UnavailableError.

        One that cannot be read, damaged or of a later version, is told to ``say`` and left out, so that it hides none
        of the others; without ``say`` DataError is raised.
        """
        infos = self._store.list(layout.runs_prefix(self._corpus))
        for key in sorted((info.key for info in infos), reverse=True):
            try:
                yield _decode(self._store.get(key).body, key)
            except ObjectMissingError:
                continue  # retention has removed it since
            except DataError as error:
                if say is None:
                    raise
                say(f"left out of the ledger: {error}")


def error_entry(error: BaseException) -> ErrorEntry:
    """Name and one-line message of an error. Only Kizami's own messages are known to hold no text of the corpus."""
    message = (
        str(error) if isinstance(error, KizamiError) else "an unexpected error; run it again with --debug to see it"
    )
    return ErrorEntry(type(error).__name__, message)


def exists(entry: RunEntry) -> str:
    """That a run cannot be made because it has this entry, in a line."""
    return (
        f"run {entry.run} of {entry.corpus} has begun already and is {entry.state} in the ledger (at {entry.stage}): "
        "a run is made once; if it died, whoever takes the lock next finds out, and a new submission goes on from what "
        "it finished"
    )


def _decode(body: bytes, key: str) -> RunEntry:
    return json_form.decode(RunEntry, body, key)
