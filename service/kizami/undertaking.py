"""An undertaking: one verb's work on a corpus under its lock, with its entry in the ledger."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kizami.commit import Holder
from kizami.config import LockConfig
from kizami.errors import ConfigurationError, UnavailableError
from kizami.lease import Lease
from kizami.ledger import Ledger, RunEntry
from kizami.record import RunRecord, failed, now, timestamp
from kizami.stores import ObjectStore


@dataclass(frozen=True, slots=True)
class Undertaking:
    """What a verb has while it holds the lock of its corpus."""

    store: ObjectStore
    lease: Lease
    record: RunRecord


@contextmanager
def undertaking(
    store: ObjectStore,
    timing: LockConfig,
    entry: RunEntry,
    *,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    on_end: Callable[[RunEntry], None] = lambda _entry: None,
) -> Iterator[Undertaking]:
    """Write the entry, take the lock, close the ledger's entry of a run found dead; in the end give the lock back.

    An error closes the entry with it. ``say`` is told of a run found dead. ``on_end``, which must not raise, is given
    the entry as it was closed, the lock given back; also one that could not be written because the store is away.
    Raises LockHeldError and whatever taking the lock raises.
    """

    def announce(dead: Holder) -> None:
        say(f"{dead.verb} {dead.run} on {dead.host} died; going on from what it finished")

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
        with Lease.take(store, entry.corpus, holder, on_takeover=announce, sleep=sleep) as lease:
            _bury(lease, record.ledger)
            yield Undertaking(store, lease, record)
    except BaseException as error:
        record.fail(error)
        raise
    finally:
        on_end(record.entry)


def _bury(lease: Lease, ledger: Ledger) -> None:
    """Close the ledger's entry of the run whose place was taken, if one was."""
    dead, commit = lease.dead, lease.last_commit
    if dead:
        published = commit.snapshot if commit and commit.run == dead.run else None
        ledger.close_dead(dead.run, timestamp(now()), published)
