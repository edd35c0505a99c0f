"""A run's entry in the ledger while the run goes on."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from kizami.errors import GateClosedError, InterruptedRunError, KizamiError, LockHeldError
from kizami.ledger import Ledger, RunEntry, State, error_entry

_log: Final = logging.getLogger(__name__)


def now() -> datetime:
    """The current time, UTC. The one place that reads the clock."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def new_id(moment: datetime) -> str:
    """An id of a run or a snapshot: it sorts by time, also within a second, and cannot be guessed."""
    return f"{moment:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(8)}"


class RunRecord:
    """Keeps a run's ledger entry up to date: its stage, its counts, its end."""

    def __init__(self, ledger: Ledger, entry: RunEntry) -> None:
        self.ledger = ledger
        self.is_closed = False
        """Whether the ledger has the end of the run."""
        self.entry = entry
        ledger.write(entry)

    def note(self, **changes: Any) -> None:
        """Change the entry; written with the next stage or at the end."""
        self.entry = replace(self.entry, **changes)

    def count(self, **changes: int) -> None:
        """Change some of the entry's counts."""
        self.note(counts=replace(self.entry.counts, **changes))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Enter a stage: written to the ledger at once, its seconds added when it is left."""
        self.note(stage=name)
        self.ledger.write(self.entry)
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = round(time.monotonic() - started, 3)
            self.note(stage_seconds={**self.entry.stage_seconds, name: seconds})

    def end(self, state: State) -> None:
        """Close the entry of a run that did what it was asked to."""
        self.note(state=state, ended_at=timestamp(now()), exit_code=0)
        self.ledger.write(self.entry)
        self.is_closed = True

    def fail(self, error: BaseException) -> None:
        """Close the entry of a run that ends with ``error``, unless it is closed: what was done is not undone by an
        error afterwards. A store that is away, or refuses, does not hide that error."""
        if self.entry.ended_at is not None:
            return
        self.entry = failed(self.entry, error)
        try:
            self.ledger.write(self.entry)
            self.is_closed = True
        except KizamiError as problem:
            _log.warning("the end of run %s is not in the ledger: %s", self.entry.run, problem)


def failed(entry: RunEntry, error: BaseException) -> RunEntry:
    """The entry of a run that ends with ``error``."""
    state = State.FAILED
    if isinstance(error, LockHeldError):
        state = State.REFUSED
    elif isinstance(error, GateClosedError):
        state = State.HELD
    elif isinstance(error, InterruptedRunError | KeyboardInterrupt):
        state = State.INTERRUPTED
    code = error.exit_code if isinstance(error, KizamiError) else KizamiError.exit_code
    return replace(entry, state=state, ended_at=timestamp(now()), exit_code=code, error=error_entry(error))
