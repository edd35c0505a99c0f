"""Interleaving: rows of several tables of tokens put into one table, in a given order, without decoding a string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.encoded import STRING_COLUMNS, TOKENS
from kizami.runs import ranges, run_offsets

_MOST: Final = 3 / 4
"""How many of the tokens come from one table for its dictionaries to go on; with fewer, to order anew costs no more."""
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
    is_ordered: bool = False
    """Whether in its dictionaries the more frequent values come first, and all are of its own rows."""


@dataclass(frozen=True, slots=True)
class Interleaved:
    """Rows of several tables in one."""

    tokens: pa.Table
    """Schema TOKENS, one chunk a column."""
    is_ordered: bool
    """Whether most tokens are of one table, which is ordered: the dictionaries of ``tokens`` begin with its."""


def interleaved(picked: Sequence[Picked], count: int) -> Interleaved:
    """One table of ``count`` rows, at least one; ``picked`` fills each of them once.

    No value stands twice in a dictionary; some may not occur.
    """
    sentences = _Order.of(picked, "sentence_start", count)
    tokens = _Order.of(picked, "start", count)
    largest = int(np.argmax(tokens.shares))
    columns = []
    for name in TOKENS.names:
        order = sentences if name == "sentence_start" else tokens
        chunks = [each.tokens[name].chunk(0).flatten() for each in picked]
        if name in STRING_COLUMNS:
            used = [_used(chunk, is_ordered=each.is_ordered) for chunk, each in zip(chunks, picked, strict=True)]
            gathered = order.strings(used, largest)
        else:
            gathered = order.gathered(pa.concat_arrays(chunks))
        columns.append(pa.ListArray.from_arrays(order.offsets, gathered))
    is_most = bool(tokens.shares[largest] >= _MOST * tokens.shares.sum())
    return Interleaved(pa.Table.from_arrays(columns, schema=TOKENS), picked[largest].is_ordered and is_most)


@dataclass(frozen=True, slots=True)
class _Order:
    """Which elements of some arrays, one after another, make the elements of a column of lists."""

    offsets: pa.Int32Array
    """Of the lists to be made."""
    starts: _Int64s
    """Runs of elements, counted over all arrays: most rows follow on the one before, so there are far fewer runs."""
    lengths: _Int64s
    shares: _Int64s
    """How many elements come from each of the arrays."""

    @classmethod
    def of(cls, picked: Sequence[Picked], name: str, count: int) -> _Order:
        """The order of all columns whose lists are as long as those of the column ``name``."""
        lengths, starts = np.zeros(count, np.int64), np.zeros(count, np.int64)
        shares = np.zeros(len(picked), np.int64)
        base = 0
        for number, each in enumerate(picked):
            own = pc.list_value_length(each.tokens[name].chunk(0)).to_numpy().astype(np.int64)
            ends = base + np.cumsum(own)
            lengths[each.at], starts[each.at] = own[each.rows], (ends - own)[each.rows]
            shares[number] = lengths[each.at].sum()
            base = int(ends[-1]) if len(ends) else base
        offsets = run_offsets(lengths)
        some = lengths > 0
        starts, lengths = starts[some], lengths[some]
        first = np.flatnonzero(np.append(True, starts[1:] != starts[:-1] + lengths[:-1])[: len(starts)])
        lengths = np.add.reduceat(lengths, first) if len(first) else lengths
        return cls(pa.array(offsets), starts[first], lengths, shares)

    def gathered(self, values: pa.Array) -> pa.Array:
        """The elements of this order among ``values``."""
        if len(self.starts) * _SHORT_RUN > self.lengths.sum():
            return values.take(pa.array(ranges(self.starts, self.lengths)))
        return pa.concat_arrays([values[:0], *map(values.slice, self.starts.tolist(), self.lengths.tolist())])

    def strings(self, used: Sequence[tuple[pa.Int32Array, pa.StringArray]], largest: int) -> pa.DictionaryArray:
        """The elements of a column of strings, given as indices and dictionaries; theirs begins with the ``largest``
        one's."""
        order = sorted(range(len(used)), key=lambda number: number != largest)
        encoded = pa.concat_arrays([used[number][1] for number in order]).dictionary_encode()
        codes: list[pa.Array] = [None] * len(used)
        at = 0
        for number in order:
            indices, dictionary = used[number]
            final = encoded.indices.slice(at, len(dictionary))
            codes[number] = indices if at == 0 and _are_distinct(final) else final.take(indices)
            at += len(dictionary)
        return pa.DictionaryArray.from_arrays(self.gathered(pa.concat_arrays(codes)), encoded.dictionary, safe=False)


def _used(chunk: pa.DictionaryArray, *, is_ordered: bool) -> tuple[pa.Int32Array, pa.StringArray]:
    """The indices and the dictionary of a chunk. Of one not ordered, or longer than the chunk, only the values that
    occur, as they first do: what a worker has learned before decides nothing."""
    if is_ordered and len(chunk.indices) >= len(chunk.dictionary):
        return chunk.indices, chunk.dictionary
    used = chunk.indices.drop_null().unique()
    return pc.index_in(chunk.indices, used, skip_nulls=True), chunk.dictionary.take(used)


def _are_distinct(codes: pa.Int32Array) -> bool:
    """Whether the first codes of an encoding are 0, 1, 2, …: each value was another."""
    # Values are numbered as they first occur, so the last number tells of all before it.
    return not codes.null_count and (not len(codes) or codes[-1].as_py() == len(codes) - 1)
