"""A store in a local folder, or one that all hosts mount: one file system, whole files, conditional writes.

Files are written to ``.tmp`` in the store's root, flushed to disk and only then moved to their name, or are finished
and flushed where they are and linked to it, so that a crash leaves nothing half-written anywhere else. What decides
between rivals happens under ``flock`` of ``.tmp/lock`` (a file and not a folder: NFS locks only what is open for
writing).
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from kizami.errors import UnavailableError
from kizami.stores.base import (
    ConditionFailedError,
    ObjectInfo,
    ObjectMissingError,
    StoredObject,
    Versioning,
)
from kizami.stores.durable import clear, etag_of, flush, is_as_made_in, new_file, settle_folder, sweep
from kizami.stores.keys import TEMPORARY, checked_key

_LOCK_PATIENCE_SECONDS: Final = 60.0
_REMEDIES: Final = {
    errno.EACCES: "give this user the right to write and read there",
    errno.EPERM: "give this user the right to write and read there",
    errno.EROFS: "mount it writable",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space or raise the quota",
    errno.ENOENT: "mount or create the folder",
    errno.ESTALE: "mount it again",
    errno.EIO: "check the disk",
}

_NO_LINK: Final = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK}
"""Another device (also below a symbolic link), a file system without links, or too many links."""


class LocalStore:
    """An :class:`~kizami.stores.base.ObjectStore` in a folder; the first write makes it if its parent exists."""

    def __init__(self, root: str) -> None:
        self._url = root.rstrip("/") or "/"
        # Absolute from now on: a pickled store must mean the same folder in a worker with another working directory.
        self._root = Path(root).expanduser().absolute()
        self._swept = False

    @property
    def url(self) -> str:
        """Root of the store as the caller wrote it, without a final ``/``."""
        return self._url

    def __repr__(self) -> str:
        return f"LocalStore({self._url!r})"

    def get(self, key: str) -> StoredObject:
        """Read a whole object. Raises ObjectMissingError."""
        path = self._path(key)
        with self._explained(path), self._missing_as_such(key), path.open("rb") as file:
            body = file.read()
            written = os.fstat(file.fileno()).st_mtime
        return StoredObject(body, etag_of(body), max(0.0, self._now() - written))

    def download(self, key: str, path: Path) -> None:
        """Write an object to a local file, in bounded memory. Raises ObjectMissingError."""
        source = self._path(key)
        with self._explained(source), self._missing_as_such(key), suppress(shutil.SameFileError):  # after an upload
            shutil.copyfile(source, path)

    def put(self, key: str, body: bytes) -> str:
        """Write an object whatever stands there; return its etag."""
        path = self._path(key)
        with self._explained(path), self._temporary(body) as temporary:
            with self._locked():
                self._make_folder(path.parent)
                temporary.replace(path)
            settle_folder(path.parent)
        return etag_of(body)

    def create(self, key: str, body: bytes) -> str:
        """Write an object where none is; return its etag. Raises ConditionFailedError."""
        self._create(key, body)
        return etag_of(body)

    def upload(self, key: str, path: Path) -> None:
        """Make a local file an object where none is: another link of it, where the file is what one made there would
        be, else a copy. Raises ConditionFailedError."""
        target = self._path(key)
        with self._explained(target):
            if self._linked(path, target, key):
                settle_folder(target.parent)
            else:
                self._create(key, path)

    def _create(self, key: str, body: bytes | Path) -> None:
        path = self._path(key)
        with self._explained(path), self._temporary(body) as temporary:
            with self._locked():
                self._make_folder(path.parent)
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    raise ConditionFailedError(key) from None
            settle_folder(path.parent)

    def replace(self, key: str, body: bytes, etag: str) -> str:
        """Write over the version ``etag``; return the new etag. Raises ConditionFailedError, also where none is."""
        path = self._path(key)
        with self._explained(path), self._temporary(body) as temporary:
            with self._locked():
                try:
                    found = path.read_bytes()
                except FileNotFoundError:
                    raise ConditionFailedError(key) from None
                if etag_of(found) != etag:
                    raise ConditionFailedError(key)
                temporary.replace(path)
            settle_folder(path.parent)
        return etag_of(body)

    def copy(self, source_key: str, key: str) -> None:
        """Copy an object inside the store: a hard link where the file system has them. Raises ObjectMissingError."""
        source, path = self._path(source_key), self._path(key)
        with self._explained(path), self._missing_as_such(source_key):
            try:
                self._link(source, path)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                with self._temporary(source) as temporary, self._locked():
                    self._make_folder(path.parent)
                    temporary.replace(path)
            settle_folder(path.parent)

    def list(self, prefix: str) -> Iterable[ObjectInfo]:
        """All objects whose key starts with ``prefix``, in key order, complete at the moment of the call."""
        folder = prefix.rpartition("/")[0]
        start = self._path(folder) if folder else self._root
        found: list[ObjectInfo] = []
        with self._explained(start):
            self._require_mounted()
            now = self._now()
            for parent, folders, names in os.walk(start, onerror=_raise_unless_gone):
                if Path(parent) == self._root and TEMPORARY in folders:
                    folders.remove(TEMPORARY)
                for name in names:
                    path = Path(parent, name)
                    key = path.relative_to(self._root).as_posix()
                    if key.startswith(prefix):
                        with suppress(FileNotFoundError):  # deleted since
                            status = path.stat()
                            found.append(ObjectInfo(key, status.st_size, max(0.0, now - status.st_mtime)))
        return sorted(found, key=lambda info: info.key)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, and the folders that become empty; a key that is not there is no error."""
        for key in keys:
            path = self._path(key)
            with self._explained(path), self._locked():
                self._unlink(path)

    def remove(self, key: str, etag: str) -> None:
        """Remove the version ``etag`` of an object. Raises ConditionFailedError, also where none is."""
        path = self._path(key)
        with self._explained(path), self._locked():
            try:
                found = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ConditionFailedError(key) from None
            if etag_of(found) != etag:
                raise ConditionFailedError(key)
            self._unlink(path)

    def clear_leftovers(self) -> None:
        """Remove what writers that were killed left in ``.tmp``; those of all corpora that live keep theirs."""
        folder = self._root / TEMPORARY
        with self._explained(folder), self._locked():
            clear(folder)

    def hurry(self) -> None:
        """There is nobody to wait for."""

    def versioning(self) -> Versioning:
        """A folder keeps nothing; of the file system's own snapshots and backups it knows nothing."""
        return Versioning.OFF

    def _linked(self, path: Path, target: Path, key: str) -> bool:
        """Link a file that has reached the disk to the name of an object; whether that can be."""
        path.stat()  # or nothing is made for it
        with self._locked():
            self._make_folder(target.parent)
            can_be = is_as_made_in(target.parent, path)
        if not can_be:
            return False
        flush(path)
        with self._locked():
            self._make_folder(target.parent)  # it went if it became empty
            try:
                os.link(path, target)
            except FileExistsError:
                raise ConditionFailedError(key) from None
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                return False
        return True

    def _link(self, source: Path, path: Path) -> None:
        """Make ``path`` another link of a file, whatever stands there."""
        temporary = self._temporary_path()
        with self._locked():  # the link too: it cannot be locked as the file of a writer is
            self._make_folder(path.parent)
            try:
                os.link(source, temporary)
                temporary.replace(path)
            finally:
                # Renaming one link of a file over another link of it does nothing, by POSIX, and leaves both.
                temporary.unlink(missing_ok=True)

    def _unlink(self, path: Path) -> None:
        """Remove a file, and the folders that become empty by it. Only under the lock."""
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
        for folder in path.parents:
            if folder == self._root:
                break
            try:
                folder.rmdir()
            except OSError:  # not empty, or not there
                break

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _now(self) -> float:
        """The file system's own clock, read from a file just made; a host's clock may differ from the server's."""
        probe = self._root / TEMPORARY / f"probe-{uuid.uuid4().hex}"
        try:
            with new_file(probe) as file:
                return os.fstat(file).st_mtime
        except OSError:
            # Who may only read can take no lock either: the age is for show.
            return time.time()
        finally:
            with suppress(OSError):
                probe.unlink()

    def _temporary_path(self) -> Path:
        folder = self._root / TEMPORARY
        self._make_folder(folder)
        if not self._swept:
            self._swept = True
            sweep(folder)
        return folder / uuid.uuid4().hex

    @contextmanager
    def _temporary(self, body: bytes | Path) -> Iterator[Path]:
        """A file in ``.tmp`` that holds the body and has reached the disk; gone afterwards unless moved."""
        path = self._temporary_path()
        try:
            with new_file(path) as descriptor:
                with open(descriptor, "wb", closefd=False) as file:
                    if isinstance(body, Path):
                        with body.open("rb") as source:
                            shutil.copyfileobj(source, file, 1 << 20)
                    else:
                        file.write(body)
                os.fsync(descriptor)
                yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude all other writers, threads and processes and hosts alike."""
        path = self._root / TEMPORARY / "lock"
        self._make_folder(path.parent)
        # Opened anew each time: flock belongs to the open file, so two threads exclude each other as well.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            patience_ends = time.monotonic() + _LOCK_PATIENCE_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > patience_ends:
                        raise UnavailableError(
                            f"another process has held {path} for {_LOCK_PATIENCE_SECONDS:.0f} s: "
                            "end it if it is stopped, then try again"
                        ) from None
                    time.sleep(0.002)
            yield
        finally:
            os.close(descriptor)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder of the store and those above it, durably; the root only where its parent is."""
        self._require_mounted()
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            flush(each.parent)

    def _require_mounted(self) -> None:
        if not self._root.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._root.parent))

    @contextmanager
    def _missing_as_such(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._require_mounted()
            raise ObjectMissingError(key) from None

    @contextmanager
    def _explained(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "see to the file system")
            raise UnavailableError(
                f"{error.filename or path}: {error.strerror or error}; {remedy}, then try again"
            ) from error


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
