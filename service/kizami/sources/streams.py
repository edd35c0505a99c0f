"""Streams: a source file's bytes, decompressed as they pass, with faults of access told from faults of content."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar, cast

import pyarrow as pa

from kizami.errors import DataError, LastingError, UnavailableError
from kizami.sources.files import SourceFile, one_line, open_file_system

_REQUEST_BYTES: Final = 4 << 20
"""Asked of the file system at once: Arrow's decompressor alone would send S3 a request for every 64 KiB."""

T = TypeVar("T")
Read = Callable[[int], bytes]
"""Returns up to so many bytes; ``b""`` only at the end."""


class GuardedFile(io.RawIOBase):
    """A source file whose every failure to be read is an UnavailableError that names it.

    Arrow raises the same OSError for a lost connection and for a corrupt page. With this file under its readers, the
    UnavailableError passes through them unchanged, and whatever else they raise is about the content.
    """

    def __init__(self, file: SourceFile, *, random_access: bool = False) -> None:
        super().__init__()
        self._url = file.url
        self.bytes_read = 0
        file_system, path = open_file_system(file.url)
        if random_access:
            self._file = self._guarded(lambda: file_system.open_input_file(path))
        else:
            self._file = self._guarded(
                lambda: file_system.open_input_stream(path, compression=None, buffer_size=_REQUEST_BYTES)
            )

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


@contextmanager
def open_stream(file: SourceFile) -> Iterator[Read]:
    """Open a file for one pass over its decompressed bytes, in memory that does not depend on its size.

    Several gzip members or zstd frames in one file are read as one. Raises UnavailableError when the file cannot be
    read; reading raises DataError when a compressed file is truncated (an empty one is) or corrupt.
    """
    with GuardedFile(file) as guarded:
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
