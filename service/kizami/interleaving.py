"""Interleaving: rows of several tables of tokens put into one table, in a given order, without decoding a string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.encoded import STRING_COLUMNS, TOKENS, codes_of, looked_up, with_nulls
from kizami.runs import ranges, run_offsets

_MOST: Final = 3 / 4
"""How many of the tokens come from one table for its dictionaries to go on; with fewer, to order anew costs no more."""
_SHORT_RUN: Final = 64
"""Elements in a run on average, below which to copy them one by one is quicker than run by run."""
_SOON: Final = 2_000
"""Codes among which all values of a short dictionary mostly occur."""
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
    """Whether it is a row group of a part: in its dictionaries each value is another, occurs in its rows and is not
    null, and the more frequent ones come first."""

    def lengths(self, name: str) -> _Int64s:
        """The lengths of the lists in a column of the table."""
        lengths: _Int64s = pc.list_value_length(self.tokens[name].chunk(0)).to_numpy().astype(np.int64)
        return lengths

    def alone(self) -> Picked:
        """The same rows in a table without others."""
        every = np.arange(len(self.rows))
        if len(self.tokens) == len(every) and np.array_equal(self.rows, every):
            return self
        return Picked(self.tokens.take(pa.array(self.rows)).combine_chunks(), every, self.at)


@dataclass(frozen=True, slots=True)
class Interleaved:
    """Rows of several tables in one."""

    tokens: pa.Table
    """Schema TOKENS, one chunk a column."""
    is_ordered: bool
    """Whether most tokens are of one row group: the dictionaries of ``tokens`` are its, less the values that occur no
    more, with the new ones behind them."""


def interleaved(picked: Sequence[Picked], count: int) -> Interleaved:
    """One table of ``count`` rows, at least one; ``picked`` fills each of them once.

    No value stands twice in a dictionary; some may not occur unless the table ``is_ordered``.
    """
    shares = np.array([each.lengths("start")[each.rows].sum() for each in picked])
    largest = int(np.argmax(shares))
    is_ordered = picked[largest].is_ordered and bool(shares[largest] >= _MOST * shares.sum())
    if is_ordered:
        picked = [each if number == largest else each.alone() for number, each in enumerate(picked)]
    sentences = _Order.of(picked, "sentence_start", count)
    tokens = _Order.of(picked, "start", count)
    left_out = pa.array(tokens.left_out(largest)) if is_ordered else None
    columns = []
    for name in TOKENS.names:
        order = sentences if name == "sentence_start" else tokens
        chunks = [each.tokens[name].chunk(0).flatten() for each in picked]
        if name not in STRING_COLUMNS:
            gathered = order.gathered(chunks)
        elif left_out is not None:
            gathered = order.continued(chunks, largest, left_out)
        else:
            gathered = order.merged(chunks)
        columns.append(pa.ListArray.from_arrays(order.offsets, gathered))
    return Interleaved(pa.Table.from_arrays(columns, schema=TOKENS), is_ordered)


@dataclass(frozen=True, slots=True)
class _Order:
    """Which elements of some arrays, one after another, make the elements of a column of lists."""

    offsets: pa.Int32Array
    """Of the lists to be made."""
    starts: _Int64s
    """Runs of elements, counted over all arrays: most rows follow on the one before, so there are far fewer runs."""
    lengths: _Int64s
    bases: _Int64s
    """Where each of the arrays starts, and the last one ends, counted over all."""

    @classmethod
    def of(cls, picked: Sequence[Picked], name: str, count: int) -> _Order:
        """The order of all columns whose lists are as long as those of the column ``name``."""
        lengths, starts = np.zeros(count, np.int64), np.zeros(count, np.int64)
        bases = np.zeros(len(picked) + 1, np.int64)
        for number, each in enumerate(picked):
            own = each.lengths(name)
            ends = bases[number] + np.cumsum(own)
            lengths[each.at], starts[each.at] = own[each.rows], (ends - own)[each.rows]
            bases[number + 1] = bases[number] + own.sum()
        offsets = run_offsets(lengths)
        some = lengths > 0
        starts, lengths = starts[some], lengths[some]
        # A run also ends where the next one is of another array.
        follows = (starts[1:] == starts[:-1] + lengths[:-1]) & ~np.isin(starts[1:], bases)
        first = np.flatnonzero(np.append(True, ~follows)[: len(starts)])
        lengths = np.add.reduceat(lengths, first) if len(first) else lengths
        return cls(pa.array(offsets), starts[first], lengths, bases)

    def left_out(self, number: int) -> _Int64s:
        """The elements of one of the arrays that are not in this order, counted in that array."""
        base, end = self.bases[number : number + 2]
        own = (self.starts >= base) & (self.starts < end)
        order = np.argsort(self.starts[own])
        starts, lengths = self.starts[own][order] - base, self.lengths[own][order]
        gaps = np.append(0, np.maximum.accumulate(starts + lengths))
        sizes = np.maximum(np.append(starts, end - base) - gaps, 0)
        return ranges(gaps, sizes)

    def gathered(self, arrays: Sequence[pa.Array]) -> pa.Array:
        """The elements of this order among those of ``arrays``."""
        if len(self.starts) * _SHORT_RUN > self.lengths.sum():
            return pa.concat_arrays(arrays).take(pa.array(ranges(self.starts, self.lengths)))
        numbers = np.searchsorted(self.bases, self.starts, side="right") - 1
        runs = zip(numbers.tolist(), (self.starts - self.bases[numbers]).tolist(), self.lengths.tolist(), strict=True)
        return pa.concat_arrays([arrays[0][:0], *(arrays[number].slice(start, size) for number, start, size in runs)])

    def merged(self, chunks: Sequence[pa.DictionaryArray]) -> pa.DictionaryArray:
        """The elements of a column of strings, with one dictionary of all."""
        used = [_used(chunk) for chunk in chunks]
        encoded = pa.concat_arrays([dictionary for _, dictionary in used]).dictionary_encode()
        codes, at = [], 0
        for indices, dictionary in used:
            codes.append(encoded.indices.slice(at, len(dictionary)).take(indices))
            at += len(dictionary)
        return pa.DictionaryArray.from_arrays(self.gathered(codes), encoded.dictionary, safe=False)

    def continued(
        self, chunks: Sequence[pa.DictionaryArray], largest: int, left_out: pa.Int64Array
    ) -> pa.DictionaryArray:
        """The elements of a column of strings, in the dictionary of the ``largest`` chunk: what occurs of it, and
        behind it what the others have that it lacks. ``left_out`` are the elements of that chunk that are not in this
        order; all those of the others are."""
        indices, base = chunks[largest].indices, chunks[largest].dictionary
        others = [
            base[:0] if number == largest else chunk.dictionary.take(chunk.indices)
            for number, chunk in enumerate(chunks)
        ]
        new = pa.concat_arrays(others).dictionary_encode()
        places, added = _places(new.dictionary, base)
        finals, at = pa.array(places).take(new.indices), 0
        codes = []
        for own in others:
            codes.append(finals.slice(at, len(own)))
            at += len(own)
        codes[largest] = indices
        dictionary = pa.concat_arrays([base, added])
        gone = np.zeros(len(dictionary), np.bool_)
        gone[indices.take(left_out).drop_null().to_numpy()] = True
        gone[places] = False
        return _without(gone, pa.DictionaryArray.from_arrays(self.gathered(codes), dictionary, safe=False))


def _used(chunk: pa.DictionaryArray) -> tuple[pa.Int32Array, pa.StringArray]:
    """The indices and the dictionary of a chunk, only with the values that occur, as they first do: what a worker has
    learned before decides nothing."""
    used = chunk.indices.drop_null().unique()
    return pc.index_in(chunk.indices, used, skip_nulls=True), chunk.dictionary.take(used)


def _places(new: pa.StringArray, base: pa.StringArray) -> tuple[npt.NDArray[np.int32], pa.StringArray]:
    """For each of the distinct values ``new`` its place in ``base`` and the values added to it; and those."""
    # Mostly they are far fewer than those of the base, so these are looked up among them.
    found = pc.index_in(base, new).fill_null(-1).to_numpy()
    there = np.flatnonzero(found >= 0)
    places = np.full(len(new), -1, np.int32)
    places[found[there]] = there
    is_added = places < 0
    places[is_added] = np.arange(len(base), len(base) + np.count_nonzero(is_added), dtype=np.int32)
    return places, new.filter(pa.array(is_added))


def _without(gone: npt.NDArray[np.bool_], values: pa.DictionaryArray) -> pa.DictionaryArray:
    """Values in a dictionary without those of it that may be ``gone`` and do not occur: what is gone from the texts is
    to be gone from the file."""
    for some in (values[:_SOON], values[_SOON:]):
        if not gone.any():
            return values
        codes = codes_of(some)
        gone[codes[looked_up(np.append(gone, np.False_), codes)]] = False
    if not gone.any():
        return values
    rank = np.append(np.cumsum(~gone, dtype=np.int32) - np.int32(1), np.int32(-1))
    kept = values.dictionary.filter(pa.array(~gone))
    return pa.DictionaryArray.from_arrays(with_nulls(looked_up(rank, codes_of(values))), kept, safe=False)
