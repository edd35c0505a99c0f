"""How the tokens of the same texts differ between two analyses. Arrow tables in, values out.

Tokens are compared by their spans of code points. Where a token has the same span on both sides, its features are
compared, column by column. Tokens that overlap across the two sides without having the same span belong together: the
smallest such groups are the changed splits, 豚バラ|肉 → 豚|バラ肉.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.errors import DataError

Indices: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_ROW_SHIFT: Final = 32
"""A token's place is its row and, in the lower 32 bits, its offset: sorted, and no two texts overlap."""


@dataclass(frozen=True, slots=True)
class TokenChanges:
    """What differs between two tables of the same texts, row by row."""

    rows: Mask
    """True for each text of which anything differs."""
    sentence_rows: Mask
    """True for each text whose sentences begin at other code points."""
    splits: pa.Table
    """One row a changed split, in order: ``old`` and ``new`` are its surfaces (list<string>, empty where one side has
    no token there), ``row`` its text, ``start`` its offset in code points."""
    features: Mapping[str, pa.Table]
    """Of each column that differs, one row a token of the same span: ``surface``, ``old`` and ``new`` value, ``row``,
    ``start``."""


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The tokens of a table, one after the other."""

    offsets: Indices
    """Number of the first token of each row, and the end."""
    starts: Indices
    """Places of the tokens, ascending."""
    ends: Indices
    surfaces: pa.Array

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True)
class _Matches:
    """Tokens of the same span: numbers on both sides, or None where they are all tokens of both."""

    old: Indices | None
    new: Indices | None


def compare_tokens(old: pa.Table, new: pa.Table, features: Sequence[str]) -> TokenChanges:
    """Compare the tokens of two tables whose rows are the same texts in the same order.

    Both have ``sentence_start``, ``surface``, ``start`` and the columns ``features`` of schema v1; others are ignored.
    A null list counts as a list of nulls. Raises DataError where the lists of a row differ in length.
    """
    before, after = _tokens(old), _tokens(new)
    matches = _match(before, after)
    splits = _splits(before, after, matches)
    changed = np.zeros(len(old), np.bool_)
    changed[splits["row"].to_numpy()] = True
    found: dict[str, pa.Table] = {}
    for column in features:
        was, now = _elements(old, column, before.offsets), _elements(new, column, after.offsets)
        if matches.old is not None:
            was, now = was.take(pa.array(matches.old)), now.take(pa.array(matches.new))
        if was.equals(now):  # quicker than asking token by token
            continue
        differing = _feature_changes(was, now, before, matches)
        found[column] = differing
        changed[differing["row"].to_numpy()] = True
    sentence_rows = np.zeros(len(old), np.bool_)
    sentences = _sentence_places(old, before), _sentence_places(new, after)
    if not np.array_equal(*sentences):
        sentence_rows[np.setxor1d(*sentences) >> _ROW_SHIFT] = True
    return TokenChanges(changed | sentence_rows, sentence_rows, splits, found)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array, not copied if it is one already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def list_offsets(lists: pa.Array) -> Indices:
    """Number of the first element of each list among all elements, and how many there are. Null lists are empty."""
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _tokens(rows: pa.Table) -> _Tokens:
    lists = one_array(rows["start"])
    offsets = list_offsets(lists)
    row_places = np.arange(len(rows), dtype=np.int64) << _ROW_SHIFT
    starts = lists.flatten().to_numpy(zero_copy_only=False) + np.repeat(row_places, np.diff(offsets))
    surfaces = _elements(rows, "surface", offsets)
    return _Tokens(offsets, starts, starts + pc.utf8_length(surfaces).to_numpy(zero_copy_only=False), surfaces)


def _elements(rows: pa.Table, column: str, offsets: Indices) -> pa.Array:
    """One value a token."""
    lists = one_array(rows[column])
    if lists.null_count:
        # What a later minor version adds may be null as a whole.
        lengths = np.diff(offsets)
        absent = np.repeat(lists.is_null().to_numpy(zero_copy_only=False), lengths)
        places = np.cumsum(~absent) - 1
        if np.array_equal(np.diff(list_offsets(lists)), np.where(lists.is_null(), 0, lengths)):
            return lists.flatten().take(pa.array(places, mask=absent))
    elif np.array_equal(list_offsets(lists), offsets):
        return lists.flatten()
    raise DataError(f"a row's {column!r} and 'start' differ in length: the snapshot is damaged; publish its date again")


def _match(before: _Tokens, after: _Tokens) -> _Matches:
    if np.array_equal(before.starts, after.starts) and np.array_equal(before.ends, after.ends):
        return _Matches(None, None)
    if not len(after):
        return _Matches(np.zeros(0, np.int64), np.zeros(0, np.int64))
    place = np.minimum(np.searchsorted(after.starts, before.starts), len(after) - 1)
    same = (after.starts[place] == before.starts) & (after.ends[place] == before.ends)
    return _Matches(np.flatnonzero(same), place[same])


def _splits(before: _Tokens, after: _Tokens, matches: _Matches) -> pa.Table:
    old = _unmatched(len(before), matches.old)
    new = _unmatched(len(after), matches.new)
    starts = np.concatenate([before.starts[old], after.starts[new]])
    ends = np.concatenate([before.ends[old], after.ends[new]])
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    # A group ends where no token of either side reaches further.
    opens = np.ones(len(order), np.bool_)
    opens[1:] = starts[1:] >= np.maximum.accumulate(ends)[:-1]
    group = np.cumsum(opens) - 1
    from_old = order < len(old)
    count = int(opens.sum())
    places = starts[opens]
    return pa.table(
        {
            "old": _grouped(before.surfaces.take(pa.array(old)), group[from_old], count),
            "new": _grouped(after.surfaces.take(pa.array(new)), group[~from_old], count),
            "row": places >> _ROW_SHIFT,
            "start": places & ((1 << _ROW_SHIFT) - 1),
        }
    )


def _unmatched(count: int, matched: Indices | None) -> Indices:
    if matched is None:
        return np.zeros(0, np.int64)
    left = np.ones(count, np.bool_)
    left[matched] = False
    return np.flatnonzero(left)


def _grouped(surfaces: pa.Array, group: Indices, count: int) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=count))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), surfaces)


def _feature_changes(was: pa.Array, now: pa.Array, before: _Tokens, matches: _Matches) -> pa.Table:
    unlike = pc.not_equal(was, now).fill_null(False)
    differs = np.flatnonzero(pc.or_(unlike, pc.xor(was.is_null(), now.is_null())))
    tokens = differs if matches.old is None else matches.old[differs]
    places = before.starts[tokens]
    return pa.table(
        {
            "surface": before.surfaces.take(pa.array(tokens)),
            "old": was.take(pa.array(differs)),
            "new": now.take(pa.array(differs)),
            "row": places >> _ROW_SHIFT,
            "start": places & ((1 << _ROW_SHIFT) - 1),
        }
    )


def _sentence_places(rows: pa.Table, tokens: _Tokens) -> Indices:
    """Where each sentence's first token stands."""
    lists = one_array(rows["sentence_start"])
    first = np.repeat(tokens.offsets[:-1], np.diff(list_offsets(lists)))
    numbers = lists.flatten().to_numpy(zero_copy_only=False) + first
    if len(numbers) and int(numbers.max()) >= len(tokens):
        raise DataError("a row's 'sentence_start' names no token: the snapshot is damaged; publish its date again")
    places: Indices = tokens.starts[numbers]
    return places
