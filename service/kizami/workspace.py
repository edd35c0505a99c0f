"""A workspace: a temporary folder of this process. What a killed one left, the next one on this host removes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

_PREFIX: Final = "kizami-work-"


@contextmanager
def workspace() -> Iterator[Path]:
    """An empty folder that goes with the context, also if what is in it cannot all be removed."""
    _sweep_once(tempfile.gettempdir())
    folder, descriptor = _locked_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def sweep(parent: Path) -> None:
    """Remove the workspaces in a folder whose processes are gone. One that is not this user's is left alone."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid() and _lock(descriptor):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


@cache
def _sweep_once(parent: str) -> None:
    sweep(Path(parent))


def _locked_folder() -> tuple[Path, int]:
    """A new folder, and the descriptor by which it is locked for as long as this process lives and has it open."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):  # swept between the two calls
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            if _lock(descriptor) and folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether nobody else has the lock. A process id would not do: containers that share a folder have equal ones."""
    import fcntl  # noqa: PLC0415  # readers on Windows lack it, and come by here on their way to the configuration

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
