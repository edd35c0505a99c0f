"""Memory of a worker's process, which goes on to other tasks."""

from __future__ import annotations

import psutil
import pyarrow as pa


def begin_task() -> None:
    """Prepare this process for a task: Arrow is to use the C library's heap, as Python and numpy do, and what the task
    before left there goes back to the system, some 100 MB.

    With one heap, what one frees another takes. Arrow's default pool gives large blocks back at once and has the kernel
    zero them anew: 4 % of the time of analysing, and more where cores compete for memory.
    """
    pool = pa.system_memory_pool()
    pa.set_memory_pool(pool)
    pool.release_unused()


def private_bytes(process: psutil.Process) -> int:
    """Private memory (USS) of a process of Ray's, without the pages of Ray's object store.

    Those are shared memory, but count as private as long as no other process has touched them: a worker that reads
    what it put there itself would seem to hold it.
    """
    maps = process.memory_maps(grouped=True)
    return sum(found.private_clean + found.private_dirty for found in maps if "plasma" not in found.path)
