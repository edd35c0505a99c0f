"""Files that outlast a power cut, and their versions: what a local store is made of."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from kizami.stores.base import OutcomeUnknownError

_LEFTOVER_SECONDS: Final = 24 * 3600.0
_ACCESS: Final = {"system.posix_acl_access", "system.posix_acl_default", "security.selinux"}


def etag_of(body: bytes) -> str:
    """The version of an object: its content's SHA-256."""
    return hashlib.sha256(body).hexdigest()


@contextmanager
def new_file(path: Path) -> Iterator[int]:
    """A descriptor to write a new file by, with the permissions that the umask leaves. Until the context ends the file
    is locked, which tells :func:`clear` that its writer lives."""
    descriptor = _locked_file(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked_file(path: Path) -> int:
    while True:
        # Not tempfile: its files are for their owner alone, and readers are other people.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return descriptor
        os.close(descriptor)  # cleared between the two calls


def flush(path: Path) -> None:
    """Bring a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_as_made_in(folder: Path, path: Path) -> bool:
    """Whether a file could be linked into a folder and be what it would be if it had been made there: of the folder's
    group where that hands it down, with its ACLs and its label."""
    file, parent = path.stat(), folder.stat()
    has_group = not parent.st_mode & stat.S_ISGID or file.st_gid == parent.st_gid
    return file.st_dev == parent.st_dev and has_group and _access(path) == _access(folder)


def _access(path: Path) -> dict[str, bytes]:
    """What decides on access besides owner, group and mode."""
    if sys.platform != "linux":
        return {}
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path) if name in _ACCESS}
    except OSError:  # a file system without
        return {}


def settle_folder(folder: Path) -> None:
    """Make a new name in ``folder`` outlast a power cut."""
    try:
        flush(folder)
    except FileNotFoundError:
        pass  # the object was deleted since, and its folder with it
    except OSError as error:
        raise OutcomeUnknownError(f"{folder}: {error.strerror}; the write may be lost if the power fails") from error


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left in ``.tmp`` a day ago or earlier."""
    horizon = time.time() - _LEFTOVER_SECONDS
    for path in folder.iterdir():
        with suppress(OSError):
            if path.name != "lock" and path.stat().st_mtime < horizon:
                path.unlink()


def clear(folder: Path) -> None:
    """Remove at once what no living writer has locked. Only where nobody can be about to rename a mere link."""
    for path in folder.iterdir():
        if path.name == "lock":
            continue
        with suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # NFS locks only what is open for writing
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)
