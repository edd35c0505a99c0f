"""Strings that more are appended to, without a copy of those that are there already."""

from __future__ import annotations

import mmap
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_FIRST_ITEMS: Final = 1 << 12


class GrowingStrings:
    """An Arrow array of strings or nulls that grows at its end.

    What ``array`` gave before stays as it is. It shares its memory with all that comes later, so that an array for each
    of many batches takes no more than the last one. Of room to grow only what is filled takes memory.
    """

    def __init__(self) -> None:
        self._count = 0
        self._nulls = 0
        self._ends = _room(np.int32, _FIRST_ITEMS)
        """0, and where each string ends in the data."""
        self._validity = _room(np.uint8, _FIRST_ITEMS)
        self._data = _room(np.uint8, _FIRST_ITEMS)

    def __len__(self) -> int:
        return self._count

    def append(self, strings: pa.StringArray) -> None:
        """Add ``strings`` at the end."""
        first, count = self._count, len(strings)
        if not count:
            return
        validity, offsets, values = strings.buffers()
        ends = np.frombuffer(offsets, np.int32)[strings.offset :][: count + 1]
        filled = int(self._ends[first])
        size = int(ends[-1] - ends[0])
        self._ends = _with_room(self._ends, first + 1, first + 1 + count)
        self._ends[first + 1 : first + 1 + count] = ends[1:] - ends[0] + np.int32(filled)
        self._data = _with_room(self._data, filled, filled + size)
        if size:
            self._data[filled : filled + size] = np.frombuffer(values, np.uint8)[ends[0] : ends[-1]]
        self._validity = _with_room(self._validity, -(-first // 8), -(-(first + count) // 8))
        valid = np.ones(count, np.uint8) if validity is None else strings.is_valid().to_numpy(zero_copy_only=False)
        # The last byte may be full only in part.
        begun = np.unpackbits(self._validity[first // 8 : -(-first // 8)], bitorder="little")[: first % 8]
        bits = np.packbits(np.concatenate((begun, valid)), bitorder="little")
        self._validity[first // 8 : first // 8 + len(bits)] = bits
        self._nulls += strings.null_count
        self._count += count

    def array(self) -> pa.StringArray:
        """All that was appended so far."""
        size = int(self._ends[self._count])
        return pa.StringArray.from_buffers(
            self._count,
            pa.py_buffer(self._ends[: self._count + 1]),
            pa.py_buffer(self._data[:size]),
            pa.py_buffer(self._validity[: -(-self._count // 8)]) if self._nulls else None,
            self._nulls,
        )


def _room(kind: type[np.generic], items: int) -> npt.NDArray[Any]:
    """Zeros whose pages take no memory until they are written to."""
    pages = mmap.mmap(-1, items * np.dtype(kind).itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, kind)


def _with_room(values: npt.NDArray[Any], filled: int, items: int) -> npt.NDArray[Any]:
    """``values`` if they hold so many items, else a copy of those that are ``filled``, with room for twice as many."""
    if items <= len(values):
        return values
    larger = _room(values.dtype.type, 2 * items)
    larger[:filled] = values[:filled]
    return larger
