"""Lines: a stream of bytes cut at ``\\n``, in bounded memory however long a line is."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kizami.errors import DataError
from kizami.sources.files import SourceFile
from kizami.sources.streams import Read

_CHUNK_BYTES: Final = 1 << 20
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line that was longer than the limit and passed by without being kept."""

    sha256: bytes
    """Of all its bytes but the final ``\\n``."""
    size_bytes: int
    """All of it."""

    def __len__(self) -> int:
        return self.size_bytes


def read_lines(
    file: SourceFile, read: Read, *, limit_bytes: int, from_beginning: bool = True
) -> Iterator[bytes | LongLine]:
    """Yield every line with its ``\\n``; only the last may be without one. A UTF-8 byte order mark is dropped.

    Only ``\\n`` ends a line: U+2028, NEL or a lone ``\\r`` may stand inside a JSON string. At most ``limit_bytes`` and
    a chunk of 1 MiB are held. Raises DataError for a file in UTF-16.
    """
    chunk = read(_CHUNK_BYTES)
    if from_beginning:
        if chunk.startswith(_UTF16_BOMS):
            raise DataError(f"source file {file.url} is in UTF-16; write it in UTF-8")
        chunk = chunk.removeprefix(_UTF8_BOM)
    pending = _Pending(limit_bytes)
    while chunk:
        lines = io.BytesIO(chunk)
        for line in lines:
            if line[-1] != 0x0A:
                pending.add(line)
            elif pending or len(line) > limit_bytes:
                pending.add(line)
                yield pending.take()
            else:
                yield line
        chunk = read(_CHUNK_BYTES)
    if pending:
        yield pending.take()


def read_piece(file: SourceFile, read: Read, piece: tuple[int, int], *, limit_bytes: int) -> Iterator[bytes | LongLine]:
    """Yield the lines whose first byte is in the piece; ``read`` begins a byte before it, or at the file's
    beginning."""
    begin, end = piece
    position = max(0, begin - 1)
    first = begin == 0

    def measured(size: int) -> bytes:
        nonlocal first, position
        chunk = read(size)
        if first and chunk.startswith(_UTF8_BOM):
            position += len(_UTF8_BOM)
        first = False
        return chunk

    lines = read_lines(file, measured, limit_bytes=limit_bytes, from_beginning=first)
    if begin:
        # It began before the piece; or the byte before the piece is its end.
        position += len(next(lines, b""))
    while (position < end) and (line := next(lines, None)) is not None:
        yield line
        position += len(line)


class _Pending:
    """The pieces of a line whose end has not come yet, or only their hash once they are too many."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._reset()

    def _reset(self) -> None:
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._sha256 = hashlib.sha256()

    def __bool__(self) -> bool:
        return self._size_bytes > 0

    def add(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        self._pieces.append(piece)
        if self._size_bytes > self._limit_bytes:
            for held in self._pieces:
                self._sha256.update(held.removesuffix(b"\n"))
            self._pieces.clear()

    def take(self) -> bytes | LongLine:
        too_long = self._size_bytes > self._limit_bytes
        line = LongLine(self._sha256.digest(), self._size_bytes) if too_long else b"".join(self._pieces)
        self._reset()
        return line
