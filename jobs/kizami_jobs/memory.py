"""Memory of a worker's process, which goes on to other tasks."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import Final

import psutil
import pyarrow as pa

POOL_VARIABLE: Final = "ARROW_DEFAULT_MEMORY_POOL"
"""By which Arrow is told its pool before it starts."""
LASTING_POOL: Final = "jemalloc" if "jemalloc" in pa.supported_memory_backends() else "system"
"""The pool that keeps what Arrow frees for what it needs next: jemalloc, and where this Arrow lacks it the C library's.

The one that Arrow takes by itself gives large blocks back at once and has the kernel zero them anew: 4 % of the time of
analysing. On the C library's heap, where numpy and Python are too, blocks of megabytes lie among small ones that live
longer, and a worker's memory grows by an eighth from 15 MB of input to 130 MB; with jemalloc by half of that.
"""


def use_lasting_pool() -> None:
    """Let Arrow use LASTING_POOL from now on, unless the environment names a pool."""
    if POOL_VARIABLE not in os.environ:
        pools = {"jemalloc": pa.jemalloc_memory_pool, "system": pa.system_memory_pool}
        pa.set_memory_pool(pools[LASTING_POOL]())


def release_memory() -> None:
    """Give back to the system what Arrow and the C library keep for later; some 45 MB after a task of Kizami's."""
    pa.default_memory_pool().release_unused()
    # Arrow's pool of the C library's heap, on which Python and numpy are too, has a release_unused() as well, but in
    # pyarrow 26 nothing comes of it. Only glibc trims.
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class PeakMemory:
    """The largest private memory of a process.

    A look at its anonymous pages, which are what grows, takes some 10 µs; one at all its mappings some 20 ms.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._anonymous_bytes = 0

    def look(self) -> None:
        """Note how much it holds now."""
        self._anonymous_bytes = max(self._anonymous_bytes, self._anonymous())

    def measured(self) -> int:
        """The most there was at any look, this one included: bytes (USS), with pages of files as they are now. Pages
        that a living child shares are left out."""
        self.look()
        return self._anonymous_bytes + private_bytes(self._process) - self._anonymous()

    def _anonymous(self) -> int:
        held = self._process.memory_info()
        return int(held.rss - held.shared)


def private_bytes(process: psutil.Process) -> int:
    """Private memory (USS) of a process of Ray's, without the pages of Ray's object store.

    Those are shared memory, but count as private as long as no other process has touched them: a worker that reads
    what it put there itself would seem to hold it.
    """
    maps = process.memory_maps(grouped=True)
    return sum(found.private_clean + found.private_dirty for found in maps if "plasma" not in found.path)
