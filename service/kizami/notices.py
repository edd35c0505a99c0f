"""Notices: what the webhook is to be told of a corpus, each once as far as it can be, at least once in any case.

A notice is put into the store before it is sent, and marked as sent after the webhook has taken it; whatever happens in
between, the next run or check sends it again under the same id. What a notice is about stands in the ledger: the store
is given no copy of an error's message, which ``kizami forget`` would have to look for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kizami import json_form, layout
from kizami.errors import DataError
from kizami.ledger import RunEntry, State
from kizami.punctuality import JOBS, Outcome, Punctuality, has_published
from kizami.stores import ConditionFailedError, ObjectMissingError, ObjectStore
from kizami.webhook import EventRefusedError

_KEPT_SECONDS: Final = 30 * 86400
"""After so long a notice is removed, sent or not: nobody waits for it any more."""
_FAILURES: Final = frozenset({State.FAILED, State.HELD, State.INTERRUPTED, State.DIED})


class Kind(StrEnum):
    """What a notice is about."""

    FAILED = "failed"
    """A run."""
    LATE = "late"
    """A business date, by `kizami check`."""
    RECOVERED = "recovered"
    """The first run that published after one of the others."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice."""

    name: Kind
    id: str
    """The same whoever finds the reason for it, and how often."""
    corpus: str
    date: str
    run: str | None = None
    cause: str = ""
    """Of a lateness: the line of `kizami check`. What there is to say of a run stands in its entry in the ledger."""


def of_ledger(entries: Iterable[RunEntry], since: str, was_late: Callable[[str], bool]) -> list[Notice]:
    """What the newest runs give reason for, in the order of events; ``entries`` are the ledger's, the newest first.

    Failures that ended before ``since`` are old news. ``was_late`` tells whether there was a notice about a date.
    """
    failures: list[RunEntry] = []
    success: RunEntry | None = None
    known = False  # the date was published already before its newest run
    for entry in entries:
        if has_failed(entry):
            failures.append(entry)
        elif has_published(entry):
            if success is None and not failures:
                success = entry
                continue
            known = success is not None and entry.date == success.date
            break
        elif entry.verb == "rollback" and entry.state is State.DONE:
            break  # what was published before it is no recovery from what is missing since
    notices = [failure(entry) for entry in reversed(failures) if (entry.ended_at or "") >= since]
    if success and (failures or (not known and was_late(success.date))):
        notices.append(_about(success, Kind.RECOVERED))
    return notices


def has_failed(entry: RunEntry) -> bool:
    """Whether a run was to publish and did not. One that was refused is none: another held the lock."""
    return entry.verb in JOBS and entry.state in _FAILURES and not has_published(entry)


def failure(entry: RunEntry) -> Notice:
    """That a run failed."""
    return _about(entry, Kind.FAILED)


def _about(entry: RunEntry, kind: Kind) -> Notice:
    return Notice(kind, f"{entry.run}.{kind}", entry.corpus, entry.date, entry.run)


def of_check(answer: Punctuality) -> Notice | None:
    """What the answer of a check gives reason for: about a run that failed the same as the run itself gives."""
    if answer.outcome.is_well:
        return None
    if answer.outcome in {Outcome.FAILED, Outcome.HELD, Outcome.DIED} and answer.run:
        return Notice(Kind.FAILED, f"{answer.run}.{Kind.FAILED}", answer.corpus, answer.date, answer.run)
    words = answer.outcome.replace(",", "").replace(" ", "-")
    about = f".{answer.run}" if answer.run and answer.outcome in {Outcome.OLD, Outcome.CANDIDATE} else ""
    return Notice(Kind.LATE, f"{answer.date}.{words}{about}", answer.corpus, answer.date, answer.run, str(answer))


class Outbox:
    """The notices of one corpus, in its store. Every method raises UnavailableError and DataError."""

    def __init__(self, store: ObjectStore, corpus: str) -> None:
        self._store = store
        self._pending = layout.pending_notices_prefix(corpus)
        self._sent = layout.sent_notices_prefix(corpus)

    def was_late(self, date: str) -> bool:
        """Whether there is a notice of a lateness about a date."""
        return any(True for prefix in (self._sent, self._pending) for _ in self._store.list(f"{prefix}{date}."))

    def add(self, notice: Notice) -> None:
        """Have a notice sent, unless it was."""
        try:
            self._store.get(layout.notice_key(self._sent, notice.id))
        except ObjectMissingError:
            with suppress(ConditionFailedError):  # it is there already
                self._store.create(layout.notice_key(self._pending, notice.id), json_form.encode(notice))

    def mark_sent(self, notice: Notice) -> None:
        """Note that the webhook has taken it."""
        self._store.put(layout.notice_key(self._sent, notice.id), json_form.encode(notice))
        self._store.delete([layout.notice_key(self._pending, notice.id)])

    def deliver(self, send: Callable[[Notice], None]) -> None:
        """Give ``send`` all that is to be sent, the oldest first.

        What it raises ends it, and the rest stays for the next time. DataError, for what cannot be read, and
        EventRefusedError are raised when the others are sent: one of them is not to keep the others back for a month.
        """
        fault: DataError | EventRefusedError | None = None
        waiting = sorted(self._store.list(self._pending), key=lambda info: -info.age_seconds)
        for info in waiting:
            if info.age_seconds >= _KEPT_SECONDS:
                self._store.delete([info.key])
                continue
            try:
                notice = json_form.decode(Notice, self._store.get(info.key).body, info.key)
                send(notice)
                self.mark_sent(notice)
            except ObjectMissingError:
                continue  # somebody else has sent it since
            except (DataError, EventRefusedError) as error:
                fault = fault or error
        if waiting:
            self._store.delete(info.key for info in self._store.list(self._sent) if info.age_seconds >= _KEPT_SECONDS)
        if fault:
            raise fault
