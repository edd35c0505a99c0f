"""Reuse: the tokens of texts that the predecessor analysed, found by ``text_hash`` and taken over as they were encoded.

A part's tokens would fill the memory of a worker. So they are taken over a row group at a time, and of the
predecessor's row groups only a few are held.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kizami.encoded import STRING_COLUMNS, TOKENS
from kizami.interleaving import Picked

_GROUPS_HELD: Final = 2
"""Row groups kept decoded, some 13 MB each: the next row group begins in the one where the last ended."""

_FLAG: Final = "is_unknown"

Places = npt.NDArray[np.int64]
"""For each text, the row of the predecessor that has its tokens, counted over all its parts; -1: none has."""


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group of one of the files."""

    file: int
    number: int


class PreviousRows:
    """The rows of some parts of the predecessor, in files at hand."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._stack = ExitStack()
        read_dictionary = [f"{name}.list.element" for name in STRING_COLUMNS]
        self._files = [
            self._stack.enter_context(pq.ParquetFile(path, read_dictionary=read_dictionary, pre_buffer=True))
            for path in paths
        ]
        self._groups = [
            _Group(file, number) for file, each in enumerate(self._files) for number in range(each.num_row_groups)
        ]
        rows = [self._files[group.file].metadata.row_group(group.number).num_rows for group in self._groups]
        self._starts = np.concatenate(([0], np.cumsum(rows)), dtype=np.int64, casting="unsafe")
        self._held: OrderedDict[int, pa.Table] = OrderedDict()
        self._flags: list[pa.ListArray] = []
        """Of each row group the column that tells the tokens of its rows at the least cost, once it is read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def places(self, text_hashes: pa.StringArray) -> Places:
        """Where the tokens of texts with these hashes stand.

        Of several rows with a hash it is the one that follows on the rows found for the texts before, if there is one,
        else the first: so most texts find theirs in the order in which the rows stand.
        """
        columns = [file.read(columns=["text_hash"], use_threads=False)["text_hash"] for file in self._files]
        known = pa.concat_arrays([pa.array([], pa.string()), *(chunk for column in columns for chunk in column.chunks)])
        first: Places = pc.index_in(text_hashes, known).fill_null(-1).to_numpy().astype(np.int64)
        if not len(first) or not len(known):
            return np.full(len(first), -1, np.int64)
        first_equal = pc.index_in(known, known).to_numpy()
        # From a text whose row comes after all those before it, the texts that follow are expected to go on alike.
        highest = np.maximum.accumulate(first)
        is_next = np.diff(highest, prepend=-1) > 0
        text = np.arange(len(first))
        start = np.maximum.accumulate(np.where(is_next, text, -1))
        expected = np.minimum(text + first[start] - start, len(known) - 1)
        return np.where((start >= 0) & (first_equal[expected] == first), expected, first)

    def token_counts(self, places: Places) -> npt.NDArray[np.int64]:
        """How many tokens stand at each of ``places``; 0 at -1."""
        self._flags = self._flags or [self._read(number, [_FLAG])[_FLAG] for number in range(len(self._groups))]
        counts = [pc.list_value_length(flags).to_numpy() for flags in self._flags]
        return np.concatenate([*counts, [0]], dtype=np.int64, casting="unsafe")[places]

    def picked(self, places: Places) -> Iterator[Picked]:
        """The tokens at ``places``, one row group after another; a place of -1 is passed over."""
        group_of = np.searchsorted(self._starts, places, side="right") - 1
        for number in np.unique(group_of[places >= 0]).tolist():
            at = np.flatnonzero((group_of == number) & (places >= 0))
            tokens, rows = self._tokens(number), places[at] - self._starts[number]
            found = Picked(tokens, rows, at, is_ordered=True)
            # Of many groups a few rows each may be wanted: what is not is let go.
            yield found.alone() if 2 * len(at) < len(tokens) else found

    def _tokens(self, number: int) -> pa.Table:
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        while len(self._held) >= _GROUPS_HELD:
            self._held.popitem(last=False)
        columns = self._read(number, [name for name in TOKENS.names if name != _FLAG or not self._flags])
        if self._flags:
            columns[_FLAG] = self._flags[number]
        table = pa.Table.from_arrays([columns[name] for name in TOKENS.names], schema=TOKENS)
        self._held[number] = table
        return table

    def _read(self, number: int, names: list[str]) -> dict[str, pa.Array]:
        """Columns of a row group."""
        group = self._groups[number]
        read = self._files[group.file].read_row_group(group.number, columns=names, use_threads=False)
        return {name: _one(read[name]) for name in names}


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column of a row group as one array, without a copy where it is one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
