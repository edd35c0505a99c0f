"""A worker's memory: the most that was there at any look."""

from __future__ import annotations

import numpy as np
import psutil

from kizami_jobs.memory import PeakMemory, private_bytes

_BYTES = 200_000_000


def test_what_is_gone_again_counts_if_it_was_seen() -> None:
    """One look while it is there is enough; what no look saw is not told."""
    process = psutil.Process()
    peak = PeakMemory(process)
    held = np.ones(_BYTES, np.uint8)
    unseen = PeakMemory(process)
    peak.look()
    del held
    now = private_bytes(process)
    assert peak.measured() > now + _BYTES * 0.9
    assert unseen.measured() < now + _BYTES * 0.1
