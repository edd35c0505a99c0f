"""The tally of what changed between two snapshots: rows of both in, :class:`kizami.snapshot_changes.Changes` out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.frequencies import CAPACITY, Frequencies, Frequent
from kizami.snapshot_changes import (
    BothCounts,
    Changes,
    DocumentChanges,
    Documents,
    FeatureChange,
    FeatureChanges,
    FieldCounts,
    Place,
    SplitChange,
    SplitChanges,
    TextChanges,
    TextCounts,
    TokenCounts,
    Value,
)
from kizami.token_changes import Indices, compare_tokens, list_offsets, one_array

KEY: Final = ("doc_id", "field", "position")
FIXED_COLUMNS: Final = (*KEY, "text_hash", "sentence_start", "surface", "start")
"""Columns that a comparison needs; features come on top."""

SplitKey: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
FeatureKey: TypeAlias = tuple[str, Value, Value]


class Tally:
    """Adds up the differences, window by window, in memory that does not grow with the snapshots.

    ``features`` are the columns to compare, which both sides must have; ``limit`` is how many ids and examples to keep
    of each kind, ``capacity`` how many different splits, and values of a column, to tell apart.
    """

    def __init__(self, features: Sequence[str], *, limit: int, capacity: int = CAPACITY) -> None:
        self._features = tuple(features)
        self._limit = limit
        self._documents = {name: _DocumentTally(limit) for name in ("added", "removed", "changed", "reanalysed")}
        self._texts = dict.fromkeys(("added", "removed", "edited", "reanalysed", "sentences"), 0)
        self._tokens = dict.fromkeys(("added", "removed", "edited_a", "edited_b", "reanalysed_a", "reanalysed_b"), 0)
        self._splits: Frequencies[SplitKey, Place] = Frequencies(capacity)
        self._values: dict[str, Frequencies[FeatureKey, Place]] = {name: Frequencies(capacity) for name in features}
        self._fields: tuple[dict[str, Indices], dict[str, Indices]] = ({}, {})

    def add(self, old: pa.Table, new: pa.Table) -> None:
        """Count all rows of some documents: ``old`` has all that A has of them, ``new`` all of B.

        Columns: FIXED_COLUMNS, the features and ``is_unknown``. Documents come in order, within a call and from call to
        call; the order of a document's rows is free.
        """
        self._count_fields(old, 0)
        self._count_fields(new, 1)
        pairs_old, pairs_new = _pairs(old, new)
        only_old, only_new = _others(len(old), pairs_old), _others(len(new), pairs_new)
        same = _same_texts(old, new, pairs_old, pairs_new)
        edited_old, edited_new = pairs_old[~same], pairs_new[~same]
        reanalysed = self._compare(_rows(old, pairs_old[same]), _rows(new, pairs_new[same]))
        sizes_old, sizes_new = _sizes(old), _sizes(new)
        self._texts["removed"] += len(only_old)
        self._texts["added"] += len(only_new)
        self._texts["edited"] += len(edited_old)
        self._texts["reanalysed"] += len(reanalysed)
        self._tokens["removed"] += int(sizes_old[only_old].sum())
        self._tokens["added"] += int(sizes_new[only_new].sum())
        self._tokens["edited_a"] += int(sizes_old[edited_old].sum())
        self._tokens["edited_b"] += int(sizes_new[edited_new].sum())
        self._tokens["reanalysed_a"] += int(sizes_old[pairs_old[same][reanalysed]].sum())
        self._tokens["reanalysed_b"] += int(sizes_new[pairs_new[same][reanalysed]].sum())
        if len(reanalysed) or len(only_old) or len(only_new) or len(edited_old):
            self._count_documents(
                old["doc_id"],
                new["doc_id"],
                touched=pa.chunked_array(
                    [
                        *_take(old["doc_id"], np.concatenate([only_old, edited_old])).chunks,
                        *_take(new["doc_id"], only_new).chunks,
                    ],
                    pa.string(),
                ),
                reanalysed=_take(old["doc_id"], pairs_old[same][reanalysed]),
            )

    def add_unchanged(self, rows: pa.Table) -> None:
        """Count rows that are the same in both, for the fields alone. Columns: ``field``, ``is_unknown``."""
        self._count_fields(rows, 0, 1)

    def result(self, field_order: Sequence[str] = ()) -> Changes:
        """What was found. Fields come in ``field_order``, those not in it behind."""
        texts, tokens = self._texts, self._tokens
        return Changes(
            documents=DocumentChanges(**{name: tally.result() for name, tally in self._documents.items()}),
            texts=TextChanges(**texts),
            tokens=TokenCounts(
                added=tokens["added"],
                removed=tokens["removed"],
                edited=BothCounts(tokens["edited_a"], tokens["edited_b"]),
                reanalysed=BothCounts(tokens["reanalysed_a"], tokens["reanalysed_b"]),
            ),
            splits=self._split_changes(),
            features=tuple(self._feature_changes(name) for name in self._features if self._values[name].total),
            fields=self._field_counts(field_order),
        )

    def _compare(self, old: pa.Table, new: pa.Table) -> Indices:
        """Count the differences of the same texts; return the rows that have any."""
        found = compare_tokens(old, new, self._features)
        self._texts["sentences"] += int(found.sentence_rows.sum())
        if len(found.splits):
            keyed = found.splits.append_column("key", _joined(found.splits))
            for change, count, place in _counted(keyed, ["key"], old):
                self._splits.add((tuple(change["old"]), tuple(change["new"])), count, place)
        for name, table in found.features.items():
            for change, count, place in _counted(table, ["surface", "old", "new"], old):
                self._values[name].add((change["surface"], change["old"], change["new"]), count, place)
        return np.flatnonzero(found.rows)

    def _count_fields(self, rows: pa.Table, *sides: int) -> None:
        if not len(rows):
            return
        flags = one_array(rows["is_unknown"])
        offsets = list_offsets(flags)
        unknown = np.concatenate([[0], np.cumsum(flags.flatten().to_numpy(zero_copy_only=False), dtype=np.int64)])
        encoded = one_array(rows["field"]).dictionary_encode()
        code = encoded.indices.to_numpy(zero_copy_only=False)
        counts = np.stack(
            [
                np.bincount(code),
                np.bincount(code, np.diff(offsets)),
                np.bincount(code, unknown[offsets[1:]] - unknown[offsets[:-1]]),
            ],
            axis=1,
        ).astype(np.int64)
        for side in sides:
            for name, own in zip(encoded.dictionary.to_pylist(), counts, strict=True):
                self._fields[side][name] = self._fields[side].get(name, np.zeros(3, np.int64)) + own

    def _count_documents(
        self, old: pa.ChunkedArray, new: pa.ChunkedArray, *, touched: pa.ChunkedArray, reanalysed: pa.ChunkedArray
    ) -> None:
        old, new, touched, reanalysed = (pc.unique(ids) for ids in (old, new, touched, reanalysed))
        in_old, in_new = pc.is_in(new, old), pc.is_in(old, new)
        self._documents["added"].add(new.filter(pc.invert(in_old)))
        self._documents["removed"].add(old.filter(pc.invert(in_new)))
        changed = touched.filter(pc.is_in(touched, old.filter(in_new)))
        self._documents["changed"].add(changed.take(pc.sort_indices(changed)))
        self._documents["reanalysed"].add(reanalysed.filter(pc.invert(pc.is_in(reanalysed, changed))))

    def _split_changes(self) -> SplitChanges:
        splits = self._splits
        ranked = splits.most_frequent(self._limit, lambda key: key)
        return SplitChanges(
            splits.total,
            len(splits),
            splits.undercount,
            tuple(SplitChange(*each.key, each.count, each.example) for each in ranked),
        )

    def _feature_changes(self, column: str) -> FeatureChanges:
        values = self._values[column]
        ranked: list[Frequent[FeatureKey, Place]] = values.most_frequent(self._limit, repr)
        return FeatureChanges(
            column,
            values.total,
            len(values),
            values.undercount,
            tuple(FeatureChange(*each.key, each.count, each.example) for each in ranked),
        )

    def _field_counts(self, order: Sequence[str]) -> tuple[FieldCounts, ...]:
        names = set(self._fields[0]) | set(self._fields[1])
        ranked = sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))
        return tuple(FieldCounts(name, *(_text_counts(side.get(name)) for side in self._fields)) for name in ranked)


class _DocumentTally:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._ids: list[str] = []

    def add(self, ids: pa.Array) -> None:
        self._count += len(ids)
        self._ids += ids.slice(0, self._limit - len(self._ids)).to_pylist()

    def result(self) -> Documents:
        return Documents(self._count, tuple(self._ids))


def _pairs(old: pa.Table, new: pa.Table) -> tuple[Indices, Indices]:
    """Rows of the same key on both sides, in the order of ``old``."""
    if len(old) == len(new) and all(old[name].equals(new[name]) for name in KEY):
        every = np.arange(len(old), dtype=np.int64)
        return every, every
    left = old.select(KEY).append_column("old", pa.array(np.arange(len(old), dtype=np.int64)))
    right = new.select(KEY).append_column("new", pa.array(np.arange(len(new), dtype=np.int64)))
    joined = left.join(right, list(KEY), join_type="inner").sort_by("old")
    return joined["old"].to_numpy(), joined["new"].to_numpy()


def _same_texts(old: pa.Table, new: pa.Table, pairs_old: Indices, pairs_new: Indices) -> npt.NDArray[np.bool_]:
    equal = pc.equal(_take(old["text_hash"], pairs_old), _take(new["text_hash"], pairs_new))
    return np.asarray(equal.to_numpy(), np.bool_)


def _others(count: int, chosen: Indices) -> Indices:
    left = np.ones(count, np.bool_)
    left[chosen] = False
    return np.flatnonzero(left)


def _rows(table: pa.Table, places: Indices) -> pa.Table:
    return table if len(places) == len(table) and np.all(np.diff(places) == 1) else table.take(pa.array(places))


def _take(column: pa.ChunkedArray, places: Indices) -> pa.ChunkedArray:
    return column.take(pa.array(places))


def _sizes(rows: pa.Table) -> Indices:
    return np.diff(list_offsets(one_array(rows["start"])))


def _joined(splits: pa.Table) -> pa.Array:
    """A string for each split to count it by. MeCab is never shown a control character, so no surface has one."""
    sides = (pc.binary_join(one_array(splits[name]), "\0") for name in ("old", "new"))
    return pc.binary_join_element_wise(*sides, "\n")


def _counted(changes: pa.Table, keys: list[str], rows: pa.Table) -> Iterator[tuple[dict[str, Any], int, Place]]:
    """Each change that differs in ``keys``: the first of its kind, how many there are, and where the first one is."""
    numbered = changes.select(keys).append_column("number", pa.array(np.arange(len(changes), dtype=np.int64)))
    grouped = numbered.group_by(keys).aggregate([("number", "min"), ("number", "count")]).sort_by("number_min")
    firsts = changes.take(grouped["number_min"])
    places = rows.select(KEY).take(firsts["row"]).to_pylist()
    for change, count, place in zip(firsts.to_pylist(), grouped["number_count"].to_pylist(), places, strict=True):
        yield change, count, Place(**place, start=change["start"])


def _text_counts(counts: Indices | None) -> TextCounts:
    texts, tokens, unknown = (0, 0, 0) if counts is None else map(int, counts)
    return TextCounts(texts, tokens, unknown, unknown / tokens if tokens else None)
