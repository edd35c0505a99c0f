"""The round trip of surfaces: whether the tokens of a text are slices of it that leave out white space alone."""

from __future__ import annotations

import unicodedata
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_Offsets = npt.NDArray[np.int64]
_CONTINUATION: Final = -64
"""As signed numbers, the bytes of UTF-8 that begin no code point are those below."""


def broken_rows(texts: pa.StringArray, surfaces: pa.ListArray, starts: pa.ListArray) -> int:
    """How many rows have tokens that do not rebuild their text.

    Those of a sound row come in order, each ``surface`` is ``text[start : start + len(surface)]`` in code points, and
    every code point outside of them is white space (``str.isspace``) or a control character (category Cc). A row in
    which anything is null is broken. ``surfaces`` may be lists of dictionary-encoded strings.
    """
    if _are_sound(texts, surfaces, starts):
        return 0
    if len(texts) == 1:
        return 1
    half = len(texts) // 2  # faults are rare: the rows around them are soon found sound
    return sum(
        broken_rows(texts.slice(*part), surfaces.slice(*part), starts.slice(*part))
        for part in ((0, half), (half, len(texts) - half))
    )


def _are_sound(texts: pa.StringArray, surfaces: pa.ListArray, starts: pa.ListArray) -> bool:
    surface, start = surfaces.flatten(), starts.flatten()
    if any(column.null_count for column in (texts, surfaces, starts, surface, start)):
        return False
    counts = pc.list_value_length(starts).to_numpy()
    if len(surface) != len(start) or not np.array_equal(pc.list_value_length(surfaces).to_numpy(), counts):
        return False
    data, bounds = _utf8(texts)
    byte_of = np.flatnonzero(data.view(np.int8) >= _CONTINUATION)  # where each code point begins
    first = np.searchsorted(byte_of, bounds)  # the first code point of each text
    point = start.to_numpy() + np.repeat(first[:-1], counts)
    if len(point) and (start.to_numpy().min() < 0 or (point >= np.repeat(first[1:], counts)).any()):
        return False
    begin = byte_of[point]
    end = begin + _byte_lengths(surface)
    if (end > np.repeat(bounds[1:], counts)).any() or (begin[1:] < end[:-1]).any():
        return False
    outside = _gaps(np.append(0, end), np.append(begin, len(data)))
    inside = np.ones(len(data), np.bool_)
    inside[outside] = False
    # All slices have the lengths of their surfaces, so if all of them together are equal, then each is.
    return np.array_equal(data[inside], _utf8(_plain(surface))[0]) and _is_blank(data[outside].tobytes())


def _utf8(strings: pa.StringArray) -> tuple[npt.NDArray[np.uint8], _Offsets]:
    """All the strings' bytes one after another, and where each starts and the last one ends."""
    _, offsets, values = strings.buffers()
    if offsets is None or values is None or not len(strings):
        return np.zeros(0, np.uint8), np.zeros(len(strings) + 1, np.int64)
    bounds = np.frombuffer(offsets, np.int32)[strings.offset :][: len(strings) + 1].astype(np.int64)
    return np.frombuffer(values, np.uint8)[bounds[0] : bounds[-1]], bounds - bounds[0]


def _plain(strings: pa.Array) -> pa.StringArray:
    return strings.dictionary.take(strings.indices) if pa.types.is_dictionary(strings.type) else strings


def _byte_lengths(strings: pa.Array) -> npt.NDArray[np.int32]:
    is_encoded = pa.types.is_dictionary(strings.type)
    lengths: npt.NDArray[np.int32] = pc.binary_length(strings.dictionary if is_encoded else strings).to_numpy()
    return lengths[strings.indices.to_numpy()] if is_encoded else lengths


def _gaps(starts: _Offsets, ends: _Offsets) -> _Offsets:
    """The numbers in the ranges ``[start, end)``, of which nearly all are empty."""
    some = np.flatnonzero(ends > starts)
    starts, lengths = starts[some], ends[some] - starts[some]
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())


def _is_blank(utf8: bytes) -> bool:
    return all(character.isspace() or unicodedata.category(character) == "Cc" for character in set(utf8.decode()))
