"""A worker's memory: the most that was there at any look, and what is given back between tasks."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import numpy as np
import psutil
import pytest

from kizami_jobs.memory import PeakMemory, private_bytes

_BYTES = 200_000_000
HOLES = """
import json, psutil
import numpy as np
from kizami_jobs.memory import private_bytes, release_memory
process = psutil.Process()
blocks = [np.ones(65_536, np.uint8) for _ in range(2_000)]
last = np.ones(65_536, np.uint8)  # what is free lies below it: by itself the C library gives back what lies above
del blocks
before = private_bytes(process)
release_memory()
print(json.dumps(before - private_bytes(process)))
"""


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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries cannot be asked to trim their heap")
def test_what_is_free_inside_the_heap_is_given_back() -> None:
    """Of 131 MB of numpy's arrays that are gone, nearly all."""
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) > 100_000_000
