"""Interleaving: rows of several tables of tokens put into one table, in a given order, without decoding a string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.encoded import STRING_COLUMNS, TOKENS
from kizami.runs import ranges

_NULL: Final = pa.nulls(1, pa.string())
_SHORT_RUN: Final = 64
"""Elements in a run on average, below which to copy them one by one is quicker than run by run."""
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
    """One table of ``count`` rows, schema TOKENS; ``picked`` fills each of them once."""
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
    starts: _Int64s
    """Runs of elements, counted over all arrays: most rows follow on the one before, so there are far fewer runs."""
    lengths: _Int64s

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
        some = lengths > 0
        starts, lengths = starts[some], lengths[some]
        first = np.flatnonzero(np.append(True, starts[1:] != starts[:-1] + lengths[:-1])[: len(starts)])
        return cls(pa.array(offsets), starts[first], np.add.reduceat(lengths, first) if len(first) else lengths)

    def gathered(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The elements of this order among ``values``."""
        if len(self.starts) * _SHORT_RUN > self.lengths.sum():
            return values[ranges(self.starts, self.lengths)]
        ends = self.starts + self.lengths
        runs = map(slice, self.starts.tolist(), ends.tolist())
        return np.concatenate([values[:0], *map(values.__getitem__, runs)])

    def plain(self, chunks: Sequence[pa.Array]) -> pa.Array:
        """The elements of a column of numbers or flags."""
        values = np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])
        return pa.array(self.gathered(values), chunks[0].type)

    def strings(self, chunks: Sequence[pa.DictionaryArray]) -> pa.DictionaryArray:
        """The elements of a column of strings. In its dictionary values may repeat and stand beside nulls."""
        codes = np.empty(sum(map(len, chunks)), np.int32)
        dictionaries = []
        at = base = 0
        for chunk in chunks:
            indices, dictionary = chunk.indices, chunk.dictionary
            if len(indices) < len(dictionary):
                # Of what a long dictionary holds a few tokens use little.
                used = indices.drop_null().unique()
                indices, dictionary = pc.index_in(indices.fill_null(-1), used), dictionary.take(used)
            # A null behind each dictionary is what its null indices become.
            filled = indices.fill_null(len(dictionary)) if indices.null_count else indices
            np.add(filled.to_numpy(), np.int32(base), out=codes[at : at + len(chunk)])
            dictionaries += [dictionary, _NULL]
            at, base = at + len(chunk), base + len(dictionary) + 1
        values = pa.concat_arrays(dictionaries)
        return pa.DictionaryArray.from_arrays(pa.array(self.gathered(codes)), values, safe=False)
