"""Streams: a source file's bytes, decompressed as they pass, with faults of access told from faults of content."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final, TypeVar, cast

import pyarrow as pa
import pyarrow.fs

from kizami.errors import DataError, LastingError, UnavailableError
from kizami.sources.files import SourceFile, one_line, open_file_system

_REQUEST_BYTES: Final = 4 << 20
"""Asked of the file system at once: Arrow's decompressor alone would send S3 a request for every 64 KiB."""

_SECOND_NS: Final = 1_000_000_000

T = TypeVar("T")
Read = Callable[[int], bytes]
"""Returns up to so many bytes; ``b""`` only at the end."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What tells whether a file is still the same."""

    size_bytes: int | None
    modified_ns: int | None
    etag: str | None = None


class GuardedFile(io.RawIOBase):
    """A source file whose every failure to be read is an UnavailableError that names it.

    Arrow raises the same OSError for a lost connection and for a corrupt page. With this file under its readers, the
    UnavailableError passes through them unchanged, and whatever else they raise is about the content.

    A file that was written since it was listed, or while this context was open, raises UnavailableError: at once, or
    when the context ends. What was read of it may be half of one content and half of another.
    """

    def __init__(self, file: SourceFile, *, random_access: bool = False) -> None:
        super().__init__()
        self._url = file.url
        self.bytes_read = 0
        file_system, path = open_file_system(file.url)
        self._file_system, self._path = file_system, path
        if random_access:
            self._file = self._guarded(lambda: file_system.open_input_file(path))
        else:
            self._file = self._guarded(
                lambda: file_system.open_input_stream(path, compression=None, buffer_size=_REQUEST_BYTES)
            )

        self._opened = self._guarded(lambda: self._mark(self._file))
        listed = _Mark(file.size_bytes, file.modified_ns)
        if file.modified_ns is not None and not _same(listed, self._opened):
            self.close()
            raise self._changed("since it was listed")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # Content that cannot be read may be that of two files, the one before and the one after.
            if kind is None or issubclass(kind, DataError):
                self._check_unchanged()
        finally:
            super().__exit__(kind, error, trace)

    def _check_unchanged(self) -> None:
        now = self._guarded(lambda: self._mark(None))
        if not _same(self._opened, now):
            raise self._changed("while it was read")

    def _mark(self, opened: pa.NativeFile | None) -> _Mark:
        if isinstance(self._file_system, pyarrow.fs.LocalFileSystem):
            info = self._file_system.get_file_info(self._path)
            if info.type == pyarrow.fs.FileType.NotFound:
                raise FileNotFoundError(self._path)
            return _Mark(info.size, info.mtime_ns)
        # The answer to the request that opened it, so this one costs nothing.
        said = (opened or self._file_system.open_input_file(self._path)).metadata()
        length, etag = said.get("Content-Length"), said.get("ETag")
        return _Mark(int(length) if length else None, _time(said.get("Last-Modified")), etag and etag.decode())

    def _changed(self, when: str) -> LastingError:
        return LastingError(f"source file {self._url} was changed {when}; run again when it is complete")

    def _guarded(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except FileNotFoundError as error:
            raise LastingError(f"source file {self._url} is gone since it was listed; run again") from error
        except OSError as error:
            raise UnavailableError(f"source file {self._url} cannot be read: {one_line(error)}") from error

    def read(self, size: int = -1, /) -> bytes:
        piece = self._guarded(lambda: cast("bytes", self._file.read(None if size < 0 else size)))
        self.bytes_read += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._guarded(lambda: int(self._file.seek(offset, whence)))

    def tell(self) -> int:
        return int(self._file.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()


def _same(one: _Mark, other: _Mark) -> bool:
    """Whether nothing that both of them know differs. Of times, S3 gives seconds where it is asked for one file."""
    pairs = [
        (one.size_bytes, other.size_bytes),
        (one.etag, other.etag),
        (one.modified_ns, other.modified_ns),
    ]
    whole_seconds = any(mark.etag is not None for mark in (one, other))
    if whole_seconds:
        pairs[-1] = (
            None if one.modified_ns is None else one.modified_ns // _SECOND_NS,
            None if other.modified_ns is None else other.modified_ns // _SECOND_NS,
        )
    return all(a is None or b is None or a == b for a, b in pairs)


def _time(said: bytes | None) -> int | None:
    try:
        moment = datetime.fromisoformat(said.decode()) if said else None
    except ValueError:
        return None
    return None if moment is None else int(moment.timestamp()) * _SECOND_NS


@contextmanager
def open_stream(file: SourceFile, begin: int = 0) -> Iterator[Read]:
    """Open a file for one pass over its decompressed bytes, from ``begin`` on, in memory that does not depend on its
    size.

    Several gzip members or zstd frames in one file are read as one. Raises UnavailableError when the file cannot be
    read; reading raises DataError when a compressed file is truncated (an empty one is) or corrupt.
    """
    with GuardedFile(file, random_access=begin > 0) as guarded:
        if begin:
            guarded.seek(begin)
        if file.compression is None:
            yield guarded.read
            return
        stream = pa.CompressedInputStream(pa.PythonFile(guarded, mode="r"), file.compression)

        def read(size: int) -> bytes:
            try:
                piece = cast("bytes", stream.read(size))
            except (OSError, pa.ArrowException) as error:
                raise DataError(
                    f"source file {file.url} is truncated or not valid {file.compression}: {one_line(error)};"
                    " write it again"
                ) from error
            if not piece and not guarded.bytes_read:
                raise DataError(f"source file {file.url} is truncated: it is empty, not even {file.compression}")
            return piece

        yield read
