"""Punctuality: whether a business date's snapshot is published when it has to be, and if not, why and what to type.

What the store shows is gathered by :func:`look`; :func:`judge` makes an answer of it and of the time alone.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from kizami import catalogue, layout
from kizami.commit import Head, Holder, Standing, decode_head, standing
from kizami.config import CorpusConfig
from kizami.gates import closed
from kizami.ledger import Ledger, RunEntry, State
from kizami.pointer import Pointer
from kizami.readers import find_pointer
from kizami.remedies import after, newest_run, run_again
from kizami.stores import ObjectMissingError, ObjectStore

JOBS: Final = frozenset({"run", "reprocess"})
"""The verbs that make a snapshot of a business date."""
_DAYS_BEFORE: Final = 2
"""Entries of the ledger that began so many days before the date asked for are not about it."""
_ENTRIES: Final = 200
"""Entries looked at: with more, somebody starts a run every few minutes and is refused."""
_WAITING: Final = dt.timedelta(minutes=5)
"""How long a run may have waited for the lock: longer than a silent holder takes to expire."""
_CLOSING_SECONDS: Final = 2.0
"""From giving the lock back to the last word in the ledger."""


class Outcome(StrEnum):
    """What there is to say of a date. The first two are well; the words of the others begin the line."""

    PUBLISHED = "published"
    NOT_YET = "not yet the time"
    NOT_STARTED = "not started"
    RUNNING_LATE = "running late"
    FAILED = "failed"
    HELD = "failed, held by a gate"
    DIED = "failed, died"
    CANDIDATE = "not published, a candidate"
    OLD = "published old"
    """Readers have an earlier date: this one's snapshot was rolled back, or its pointers are not written."""

    @property
    def is_well(self) -> bool:
        """Whether a monitor has nothing to say."""
        return self in {Outcome.PUBLISHED, Outcome.NOT_YET}


@dataclass(frozen=True, slots=True)
class Situation:
    """What the store shows of a date, read in such an order that a run in between is never taken for a dead one."""

    date: str
    entries: tuple[RunEntry, ...]
    """The ledger, the newest first, as far back as it may be about the date."""
    holder: Holder | None = None
    """Who holds the lock and lives."""
    head: Head | None = None
    shown: Pointer | None = None
    """The date's pointer."""
    latest: Pointer | None = None


@dataclass(frozen=True, slots=True)
class Punctuality:
    """The answer."""

    corpus: str
    date: str
    outcome: Outcome
    cause: str
    """In a line; without a text of the corpus."""
    command: str | None = None
    """What to type; None where all is well."""
    run: str | None = None
    """The run it is about, if there is one."""

    def __str__(self) -> str:
        line = f"{self.corpus} {self.date}: {self.outcome}: {self.cause}"
        return " ".join((f"{line}; type: {self.command}" if self.command else line).split())


def due_at(date: str, by: dt.time | None, zone: ZoneInfo) -> dt.datetime:
    """When the snapshot of a date has to be there, UTC; without ``by`` when the date begins.

    A time that the clocks skip counts as if they had not been put forward yet; one that comes twice is the first.
    """
    local = dt.datetime.combine(dt.date.fromisoformat(date), by or dt.time(), zone)
    return local.astimezone(dt.UTC)


def look(
    store: ObjectStore,
    corpus: str,
    date: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    say: Callable[[str], None] | None = None,
) -> Situation:
    """What the store shows of a date. ``say`` is told of entries of the ledger that cannot be read; None: DataError.
    Raises UnavailableError, DataError."""
    ledger = Ledger(store, corpus)
    entries = tuple(_about(ledger.newest(say), date))
    head, holder = _head(store, corpus)
    if any(_left_open(entry, date, holder) for entry in entries):
        sleep(_CLOSING_SECONDS)
        entries = tuple(ledger.find(entry.run) or entry if entry.state is State.STARTED else entry for entry in entries)
    return Situation(date, entries, holder, head, find_pointer(store, corpus, date), find_pointer(store, corpus))


def _about(entries: Iterator[RunEntry], date: str) -> Iterator[RunEntry]:
    first = (dt.date.fromisoformat(date) - dt.timedelta(days=_DAYS_BEFORE)).isoformat()
    for number, entry in enumerate(entries):
        if number == _ENTRIES or entry.started_at < first:
            return
        yield entry


def _head(store: ObjectStore, corpus: str) -> tuple[Head | None, Holder | None]:
    key = layout.head_key(corpus)
    try:
        stored = store.get(key)
    except ObjectMissingError:
        return None, None
    head = decode_head(stored.body, key)
    lives = standing(head, stored.age_seconds) in {Standing.HELD, Standing.SILENT}
    return head, head.holder if lives else None


def _left_open(entry: RunEntry, date: str, holder: Holder | None) -> bool:
    """Whether a run of the date has not closed its entry, though it is not the one that holds the lock."""
    running = holder is not None and holder.run == entry.run
    return entry.verb in JOBS and entry.date == date and entry.state is State.STARTED and not running


def judge(found: Situation, corpus: CorpusConfig, by: dt.time | None, zone: ZoneInfo, now: dt.datetime) -> Punctuality:
    """Whether the date's snapshot is published, or has not to be yet; else what became of it."""
    today = now.astimezone(zone).date()
    is_shown = found.shown is not None and found.latest is not None and found.latest.date >= found.date
    if is_shown and found.shown:
        cause = f"{found.shown.snapshot}, {found.shown.rows:,} rows, at {found.shown.published_at}"
        return Punctuality(corpus.name, found.date, Outcome.PUBLISHED, cause)
    if now < due_at(found.date, by, zone):
        time_of_day = f"it has to be there by {by or dt.time():%H:%M} {zone.key}"
        return Punctuality(corpus.name, found.date, Outcome.NOT_YET, f"{time_of_day}; {_latest(found)}")
    absence = _Absence(found, corpus, today, now)
    return (
        absence.running()
        or absence.hidden()
        or next(filter(None, map(absence.because_of, found.entries)), None)
        or absence.withdrawn()
        or absence.not_started()
    )


@dataclass(frozen=True, slots=True)
class _Absence:
    """A date that readers do not have though it is time: each method is one explanation, or None if it is not that."""

    found: Situation
    corpus: CorpusConfig
    today: dt.date
    now: dt.datetime

    def running(self) -> Punctuality | None:
        """The run that makes it holds the lock."""
        holder = self.found.holder
        if holder is None or holder.verb not in JOBS or holder.date != self.found.date:
            return None
        entry = next((each for each in self.found.entries if each.run == holder.run), None)
        stage = f", now in stage {entry.stage}" if entry else ""
        cause = f"{holder.verb} {holder.run} runs on {holder.host} since {holder.taken_at}{stage}"
        return self._answer(Outcome.RUNNING_LATE, cause, newest_run(self.corpus.name), holder.run)

    def hidden(self) -> Punctuality | None:
        """It is there, but the pointer to the newest stays behind: a commit was not finished."""
        shown = self.found.shown
        return self._old(f"{shown.snapshot} is committed, but {_latest(self.found)}") if shown else None

    def because_of(self, entry: RunEntry) -> Punctuality | None:
        """What became of it by an entry of the ledger, the newest that is about it."""
        if entry.verb == "rollback" and entry.state is State.DONE and _is_withdrawn(self.found):
            return self._old(f"rollback {entry.run} withdrew the date's snapshot; {_latest(self.found)}", entry.run)
        if entry.date != self.found.date or entry.state is State.REFUSED:
            return None
        if has_published(entry):
            what = f"{entry.snapshot} of {entry.verb} {entry.run} is not shown any more"
            return self._old(f"{what}; {_latest(self.found)}", entry.run)
        if entry.verb not in JOBS:
            return None
        is_waiting = entry.state is State.STARTED and entry.stage == "lock"
        if is_waiting and self.now - dt.datetime.fromisoformat(entry.started_at) < _WAITING:
            cause = f"{entry.verb} {entry.run} waits for the lock since {entry.started_at}"
            return self._answer(Outcome.RUNNING_LATE, cause, newest_run(self.corpus.name), entry.run)
        return self._answer(outcome_of(entry), cause_of(entry), after(entry, self.corpus, self.today), entry.run)

    def withdrawn(self) -> Punctuality | None:
        """A rollback took it back, of which the ledger does not tell any more."""
        is_withdrawn = _is_withdrawn(self.found)
        return self._old(f"the date's snapshot was withdrawn; {_latest(self.found)}") if is_withdrawn else None

    def not_started(self) -> Punctuality:
        """No run was made for it."""
        refused = next((entry for entry in self.found.entries if self._is_refused(entry)), None)
        cause = f"no run for that date in the ledger; {_latest(self.found)}"
        if refused and refused.error:
            cause = f"{refused.verb} {refused.run} was refused ({refused.error.message}), and none began after it"
        elif holder := self.found.holder:
            cause = f"no run for that date in the ledger; {holder.verb} {holder.run} holds the lock"
        again = run_again(self.corpus, self.found.date, self.today)
        return self._answer(Outcome.NOT_STARTED, cause, again, refused.run if refused else None)

    def _is_refused(self, entry: RunEntry) -> bool:
        return entry.verb in JOBS and entry.date == self.found.date and entry.state is State.REFUSED

    def _old(self, cause: str, run: str | None = None) -> Punctuality:
        return self._answer(Outcome.OLD, cause, run_again(self.corpus, self.found.date, self.today), run)

    def _answer(self, outcome: Outcome, cause: str, command: str, run: str | None = None) -> Punctuality:
        return Punctuality(self.corpus.name, self.found.date, outcome, cause, command, run)


def has_published(entry: RunEntry) -> bool:
    """Whether a run published, or found its date published from the same input."""
    published = entry.state in {State.PUBLISHED, State.UNCHANGED}
    return entry.verb in {*JOBS, "publish"} and (
        published or (entry.state is State.DIED and entry.snapshot is not None)
    )


def outcome_of(entry: RunEntry) -> Outcome:
    """What became of a run that published nothing and goes on no more."""
    if entry.state in {State.DIED, State.STARTED}:
        return Outcome.DIED
    return {State.HELD: Outcome.HELD, State.CANDIDATE: Outcome.CANDIDATE}.get(entry.state, Outcome.FAILED)


def cause_of(entry: RunEntry) -> str:
    """Why a run published nothing, in a line."""
    name = f"{entry.verb} {entry.run}"
    if entry.state in {State.DIED, State.STARTED}:
        return f"{name} ended at {entry.stage} without a word: its process was killed or its host is gone"
    if entry.state is State.CANDIDATE:
        return f"{name} stopped before the commit, as asked"
    if entry.state is State.HELD and (gates := closed(entry.gates)):
        return f"{name} made {entry.snapshot}: {', '.join(map(str, gates))}"
    message = f"{entry.error.name}: {entry.error.message}" if entry.error else str(entry.state)
    return " ".join(f"{name} ended with {entry.exit_code} at {entry.stage}: {message}".split())


def _latest(found: Situation) -> str:
    if found.latest is None:
        return "nothing is published"
    return f"latest is {found.latest.snapshot} of {found.latest.date}"


def _is_withdrawn(found: Situation) -> bool:
    publications = found.head.catalogue.publications if found.head else ()
    return any(each.date == found.date and each.state is catalogue.State.WITHDRAWN for each in publications)
