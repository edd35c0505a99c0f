"""Holders and pointers with sensible contents, for tests of the lock and the commit."""

from __future__ import annotations

from kizami import layout
from kizami.commit import Holder, LockTiming, Pointer

CORPUS = "recipes"
SHORT = LockTiming(beat_seconds=0.1, expiry_seconds=0.6)
"""For stores whose clock has fractions of a second."""
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
