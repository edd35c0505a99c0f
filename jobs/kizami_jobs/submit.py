"""Submitting a run to a cluster, and waiting for it: Ray carries it out, the ledger says what became of it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from kizami.config import Config
from kizami.errors import InterruptedRunError, SubmittedRunError, UnavailableError
from kizami.ledger import Ledger, RunEntry
from kizami.signals import Interruption
from kizami.stores import ObjectStore
from kizami.submission import Place
from kizami_jobs.jobs_api import JobState

_POLL_SECONDS: Final = 1.0
_UNAVAILABLE: Final = UnavailableError.exit_code
_NOT_FOUND: Final = 127
"""What a shell says where there is no such command."""
_OWN_CODES: Final = frozenset({2, 65, 69, 70, 75, 78, 124, 129, 130, 143})
"""What `kizami run` ends with where it has not come to write the ledger."""


class StillRunningError(InterruptedRunError):
    """A signal ended the waiting, not the run."""

    def __init__(self, signal_number: int, run: str, corpus: str, url: str) -> None:
        super().__init__(signal_number)
        self._text = (
            f"interrupted by signal {signal_number} while waiting: run {run} goes on on the cluster; "
            f"`ray job stop --address {url} {run}` stops it, `kizami history {corpus}` tells what becomes of it"
        )

    def __str__(self) -> str:
        return self._text


class Jobs(Protocol):
    """What is asked of the cluster while waiting; :class:`~kizami_jobs.jobs_api.JobsApi` has it."""

    @property
    def url(self) -> str:
        """Where it is."""

    def state(self, run: str) -> JobState:
        """What Ray knows of the job. Raises UnavailableError."""

    def log(self, run: str) -> str:
        """All that the job has printed so far. Raises UnavailableError."""


@dataclass
class Waiting:
    """A submitted run that is waited for."""

    api: Jobs
    store: ObjectStore
    config: Config
    place: Place
    show: Callable[[str], None]
    """Takes the job's log as it comes."""
    say: Callable[[str], None]
    """Takes lines of our own."""
    interruption: Interruption
    clock: Callable[[], float] = time.monotonic
    _shown: int = 0

    def wait(self) -> RunEntry:
        """Wait for its end; its entry in the ledger. Raises SubmittedRunError unless it ended with 0, StillRunningError
        for a signal, UnavailableError where nobody can say what became of it."""
        run = self.place.run
        try:
            state = self._follow()
        except InterruptedRunError as error:
            raise StillRunningError(error.signal_number, run, self.place.corpus, self.api.url) from None
        entry = Ledger(self.store, self.place.corpus).find(run)
        if entry is None:
            raise self._never_began(state)
        if entry.exit_code is None:
            raise self._without_a_word(entry, state)
        if entry.exit_code != 0:
            what = f"{entry.error.name} at {entry.stage}: {entry.error.message}" if entry.error else entry.state
            raise SubmittedRunError(
                f"run {run} ended with exit {entry.exit_code}: {what}", entry.exit_code, {"run": asdict(entry)}
            )
        return entry

    def _follow(self) -> JobState | None:
        """Show the log until the job or its run has ended; None where Ray cannot say, and has not been able to for as
        long as a dead run keeps its lock."""
        patience = self.config.lock.expiry_seconds
        silent_since: float | None = None
        while True:
            try:
                state = self.api.state(self.place.run)
                self._show_log()
            except UnavailableError as error:
                if silent_since is None:
                    silent_since = self.clock()
                    self.say(f"{error}; the ledger in the store is looked at instead, for {patience:.0f} s")
                if self._has_ended() or self.clock() - silent_since > patience:
                    return None
            else:
                silent_since = None
                if state.ended:
                    return state
            self.interruption.sleep(_POLL_SECONDS)

    def _show_log(self) -> None:
        log = self.api.log(self.place.run)
        if len(log) > self._shown:
            self.show(log[self._shown :])
            self._shown = len(log)

    def _has_ended(self) -> bool:
        with suppress(UnavailableError):
            entry = Ledger(self.store, self.place.corpus).find(self.place.run)
            return entry is not None and entry.exit_code is not None
        return False

    def _never_began(self, state: JobState | None) -> Exception:
        run, store = self.place.run, self.place.store
        if state is None:
            return UnavailableError(
                f"Ray does not tell what became of run {run}, and the ledger in {store} has no entry of it: it has not "
                "begun, or does not reach the store; see to the cluster, then submit it again"
            )
        code = state.exit_code if state.exit_code in _OWN_CODES else _UNAVAILABLE
        why = f"Ray says: {state.message}"
        if state.exit_code == _NOT_FOUND:
            why = "there is no kizami on its PATH: install kizami[jobs] on every host of the cluster"
        return SubmittedRunError(
            f"the job of run {run} ended before the run had an entry in the ledger of {store}; {why}", code, {}
        )

    def _without_a_word(self, entry: RunEntry, state: JobState | None) -> Exception:
        ray = f"Ray says: {state.message}" if state else "Ray does not answer"
        return SubmittedRunError(
            f"run {entry.run} is {entry.state} in the ledger (at {entry.stage}) and has not closed its entry; {ray}. "
            f"Dead, it loses its lock after {self.config.lock.expiry_seconds:.0f} s; submit it again to go on from "
            f"what it finished; `kizami history {entry.corpus}` tells what became of it",
            _UNAVAILABLE,
            {"run": asdict(entry)},
        )


def command(place: Place, *options: str) -> str:
    """What the job's shell is to run."""
    return shlex.join(["kizami", "run", place.corpus, "--submission", str(place), *options])
