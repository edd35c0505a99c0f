"""Memory of a worker's process, which goes on to other tasks."""

from __future__ import annotations

import psutil
import pyarrow as pa


def use_one_heap() -> None:
    """Let Arrow use the C library's heap from now on, as Python and numpy do: what one frees another takes.

    Arrow's own pool gives large blocks back at once and has the kernel zero them anew: 4 % of the time of analysing,
    and more where cores compete for memory.
    """
    pa.set_memory_pool(pa.system_memory_pool())


def release_memory() -> None:
    """Give back to the system what Arrow and the C library keep for later; some 100 MB after a task of Kizami's."""
    pa.default_memory_pool().release_unused()
    pa.system_memory_pool().release_unused()  # trims the C library's heap, on which Python and numpy are too


def private_bytes(process: psutil.Process) -> int:
    """Private memory (USS) of a process of Ray's, without the pages of Ray's object store.

    Those are shared memory, but count as private as long as no other process has touched them: a worker that reads
    what it put there itself would seem to hold it.
    """
    maps = process.memory_maps(grouped=True)
    return sum(found.private_clean + found.private_dirty for found in maps if "plasma" not in found.path)
