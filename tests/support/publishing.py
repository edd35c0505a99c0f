"""Holders, pointers and leases with sensible contents, for tests of the lock and the commit."""

from __future__ import annotations

import time

import pytest

from kizami import layout
from kizami.commit import Head, Holder, LockTiming, decode_head
from kizami.errors import LockHeldError
from kizami.lease import Lease
from kizami.pointer import Pointer, decode_pointer
from kizami.stores import ObjectStore

CORPUS = "recipes"
HEAD = layout.head_key(CORPUS)
LATEST = layout.latest_key(CORPUS)
POINTER_KEYS = [
    "schema",
    "corpus",
    "snapshot",
    "date",
    "path",
    "glob",
    "manifest",
    "rows",
    "published_at",
    "fingerprint",
    "commit",
]
"""Of a pointer, in order, as the contract has them."""
SHORT = LockTiming(beat_seconds=0.1, expiry_seconds=1.2)
"""For stores whose clock has fractions of a second. A holder gives up after 0.8 s without a beat: on a loaded machine a
thread waits for some of that."""
SHORT_S3 = LockTiming(beat_seconds=0.3, expiry_seconds=3.0)
"""For S3, whose clock has seconds."""


def holder(run: str, *, timing: LockTiming | None = None, date: str = "2026-11-23") -> Holder:
    """The holder that run ``run`` would be."""
    timing = timing or LockTiming()
    return Holder(
        run=run,
        verb="run",
        corpus=CORPUS,
        date=date,
        host="node-7",
        pid=4711,
        taken_at="2026-11-23T05:00:00+09:00",
        beat_seconds=timing.beat_seconds,
        expiry_seconds=timing.expiry_seconds,
    )


def pointer(snapshot: str, *, date: str = "2026-11-23", commit: int = 0) -> Pointer:
    """The pointer that would publish ``snapshot``."""
    return Pointer(
        schema=1,
        corpus=CORPUS,
        snapshot=snapshot,
        date=date,
        path=layout.snapshot_prefix(CORPUS, snapshot),
        glob=layout.snapshot_glob(CORPUS, snapshot),
        manifest=layout.manifest_key(CORPUS, snapshot),
        rows=3,
        published_at="2026-11-23T05:30:00+09:00",
        fingerprint="f" * 32,
        commit=commit,
    )


def nobody_died(dead: Holder) -> None:
    """Fail: there was nothing to take over."""
    pytest.fail(f"took over from {dead}")


def take(store: ObjectStore, run: str, timing: LockTiming = SHORT) -> Lease:
    """Take the lock where nobody is dead."""
    return Lease.take(store, CORPUS, holder(run, timing=timing), on_takeover=nobody_died)


def take_over(store: ObjectStore, run: str, timing: LockTiming) -> tuple[Lease, Holder]:
    """Come again, as a scheduler would, until the dead holder has expired."""
    dead: list[Holder] = []
    patience_ends = time.monotonic() + 4 * timing.expiry_seconds
    while True:
        try:
            lease = Lease.take(store, CORPUS, holder(run, timing=timing), on_takeover=dead.append)
        except LockHeldError:
            assert time.monotonic() < patience_ends
            time.sleep(timing.beat_seconds / 2)
        else:
            assert len(dead) == 1
            return lease, dead[0]


def head(store: ObjectStore) -> Head:
    """head.json as it stands."""
    return decode_head(store.get(HEAD).body, HEAD)


def read(store: ObjectStore, key: str) -> Pointer:
    """A pointer as it stands."""
    return decode_pointer(store.get(key).body, key)
