"""An undertaking: one verb's work on a corpus under its lock, with its entry in the ledger."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kizami.commit import Holder
from kizami.config import LockConfig
from kizami.curfew import Farewell
from kizami.errors import CommitStateUnknownError, ConfigurationError, InterruptedRunError, UnavailableError
from kizami.lease import Lease
from kizami.ledger import Ledger, RunEntry
from kizami.record import RunRecord, failed, now, timestamp
from kizami.signals import Interruption
from kizami.stores import ObjectStore


@dataclass(frozen=True, slots=True)
class Undertaking:
    """What a verb has while it holds the lock of its corpus."""

    store: ObjectStore
    lease: Lease
    record: RunRecord

    @property
    def undone(self) -> str:
        """What the store has not been told of the end, in a clause; nothing if it knows all."""
        left = [] if self.record.is_closed else ["its entry in the ledger is not closed"]
        if not self.lease.is_given_back:
            expiry = self.lease.holder.expiry_seconds if self.lease.holder else 0
            left.append(f"its lock is not given back, and expires after {expiry:g} s; then go on")
        return "" if not left else f"the store was not told of the end of {self.record.entry.run}: {', '.join(left)}"

    def farewell(self, signal_number: int) -> Farewell:
        """What to say of the work when a signal has come, and it has not stopped."""
        entry, error = self.record.entry, InterruptedRunError(signal_number)
        text, code, name = str(error), error.exit_code, type(error).__name__
        if entry.exit_code is not None:
            text = entry.error.message if entry.error else f"{entry.verb} {entry.run} is done ({entry.state})"
            code, name = entry.exit_code, entry.error.name if entry.error else name
        elif self.lease.is_committing:
            text = (
                f"interrupted by signal {signal_number} in the middle of the commit of {entry.run}: it may be in "
                f"effect; the next run finds out and finishes it; `kizami history {entry.corpus}` tells"
            )
            code, name = CommitStateUnknownError.exit_code, CommitStateUnknownError.__name__
        return Farewell("; ".join(filter(None, [f"{text} (it did not stop by itself)", self.undone])), code, name)


@contextmanager
def undertaking(
    store: ObjectStore,
    timing: LockConfig,
    entry: RunEntry,
    *,
    say: Callable[[str], None],
    interruption: Interruption | None = None,
    on_end: Callable[[RunEntry], None] = lambda _entry: None,
) -> Iterator[Undertaking]:
    """Write the entry, take the lock, close the ledger's entry of a run found dead; in the end give the lock back.

    An error closes the entry with it. ``interruption`` may end the waiting for the lock; where a signal does not end
    the work in time, the process is ended with a word about what is left. ``say`` is told of a run found dead.
    ``on_end``, which must not raise, is given the entry as it was closed, the lock given back; also one that could not
    be written because the store is away.
    Raises LockHeldError and whatever taking the lock raises.
    """

    def announce(dead: Holder) -> None:
        say(f"{dead.verb} {dead.run} on {dead.host} died; going on from what it finished")

    interruption = interruption or Interruption()
    try:
        record = RunRecord(Ledger(store, entry.corpus), entry)
    except (UnavailableError, ConfigurationError) as error:
        on_end(failed(entry, error))
        raise
    try:
        holder = Holder(
            run=entry.run,
            verb=entry.verb,
            corpus=entry.corpus,
            date=entry.date,
            host=socket.gethostname(),
            pid=os.getpid(),
            taken_at=timestamp(now()),
            beat_seconds=timing.beat_seconds,
            expiry_seconds=timing.expiry_seconds,
        )
        with Lease.take(store, entry.corpus, holder, on_takeover=announce, sleep=interruption.sleep) as lease:
            held = Undertaking(store, lease, record)
            interruption.farewell = held.farewell
            _bury(lease, record.ledger)
            try:
                yield held
            except InterruptedRunError:
                lease.hurry()
                raise
    except BaseException as error:
        record.fail(error)
        raise
    finally:
        on_end(record.entry)
        interruption.forget()


def _bury(lease: Lease, ledger: Ledger) -> None:
    """Close the ledger's entry of the run whose place was taken, if one was."""
    dead, commit = lease.dead, lease.last_commit
    if dead:
        published = commit.snapshot if commit and commit.run == dead.run else None
        ledger.close_dead(dead.run, timestamp(now()), published)
