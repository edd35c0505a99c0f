"""Interleaving: rows of several tables of tokens put into one table, in a given order, without decoding a string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.encoded import STRING_COLUMNS, TOKENS, codes_of

_Int32s = npt.NDArray[np.int32]
_Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Picked:
    """Some rows of a table, and where they go."""

    tokens: pa.Table
    """Schema TOKENS."""
    rows: _Int64s
    """Which of its rows, in any order, one perhaps several times."""
    at: _Int64s
    """The row each becomes."""


def interleaved(picked: Sequence[Picked], count: int) -> pa.Table:
    """One table of ``count`` rows, schema TOKENS; ``picked`` fills each of them once.

    Every column of strings has one dictionary, in which each value stands once.
    """
    sentences = _Order.of(picked, "sentence_start", count)
    tokens = _Order.of(picked, "start", count)
    columns = []
    for name in TOKENS.names:
        order = sentences if name == "sentence_start" else tokens
        chunks = [each.tokens[name].chunk(0).flatten() for each in picked]
        gathered = order.strings(chunks) if name in STRING_COLUMNS else order.plain(chunks)
        columns.append(pa.ListArray.from_arrays(order.offsets, gathered))
    return pa.Table.from_arrays(columns, schema=TOKENS)


@dataclass(frozen=True, slots=True)
class _Order:
    """Which elements of some arrays, one after another, make the elements of a column of lists."""

    offsets: pa.Int32Array
    """Of the lists to be made."""
    elements: _Int64s
    """For each element to be made, its number among those of all arrays."""

    @classmethod
    def of(cls, picked: Sequence[Picked], name: str, count: int) -> _Order:
        """The order of all columns whose lists are as long as those of the column ``name``."""
        lengths, starts = np.zeros(count, np.int64), np.zeros(count, np.int64)
        base = 0
        for each in picked:
            own = pc.list_value_length(each.tokens[name].chunk(0)).to_numpy().astype(np.int64)
            ends = base + np.cumsum(own)
            lengths[each.at], starts[each.at] = own[each.rows], (ends - own)[each.rows]
            base = int(ends[-1]) if len(ends) else base
        offsets = np.concatenate(([0], np.cumsum(lengths)), dtype=np.int32, casting="unsafe")
        return cls(pa.array(offsets), _ranges(starts, lengths))

    def plain(self, chunks: Sequence[pa.Array]) -> pa.Array:
        """The elements of a column of numbers or flags."""
        values = np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])
        return pa.array(values[self.elements], chunks[0].type)

    def strings(self, chunks: Sequence[pa.DictionaryArray]) -> pa.DictionaryArray:
        """The elements of a column of strings. Its dictionary ends with null; no index is null."""
        codes, dictionaries = [], []
        for chunk in chunks:
            own, dictionary = codes_of(chunk), chunk.dictionary
            if len(own) < len(dictionary):
                # Of what a long dictionary holds a few tokens use little.
                values, own = _distinct(own)
                dictionary = dictionary.take(pa.array(values))
            codes.append(own)
            dictionaries.append(dictionary)
        distinct = pa.concat_arrays(dictionaries).dictionary_encode()
        null = len(distinct.dictionary)
        code_of = distinct.indices.fill_null(null).to_numpy()
        unified = np.empty(sum(map(len, codes)), np.int32)
        at = first = 0
        for own, dictionary in zip(codes, dictionaries, strict=True):
            # The last one is found under -1, the code of null.
            final = np.append(code_of[first : first + len(dictionary)], np.int32(null))
            np.take(final, own, out=unified[at : at + len(own)], mode="wrap")
            at, first = at + len(own), first + len(dictionary)
        values = pa.concat_arrays([distinct.dictionary, pa.nulls(1, pa.string())])
        return pa.DictionaryArray.from_arrays(pa.array(np.take(unified, self.elements)), values, safe=False)


def _distinct(codes: _Int32s) -> tuple[_Int32s, _Int32s]:
    """The distinct codes but -1, and for each code its place among them, -1 for -1."""
    values, places = np.unique(codes, return_inverse=True)
    nulls = int(len(values) > 0 and values[0] < 0)
    return values[nulls:], (places - nulls).astype(np.int32)


def _ranges(starts: _Int64s, lengths: _Int64s) -> _Int64s:
    """The numbers of the ranges that start here and are so long, one range after another."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)
