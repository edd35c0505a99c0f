"""Parts: which document goes where, in which order, and under which key its finished analysis is found again."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.runs import ranges
from kizami.strings import joined_bytes
from kizami.texts import TEXTS, Reason

Bounds = tuple[str, ...]
"""Lower bounds of the parts, ascending; the first is "". A part holds the doc_ids from its bound up to, not including,
the next one's. Comparing str compares code points, which is the order of UTF-8 bytes."""

WHOLE: Final[Bounds] = ("",)
_KEY: Final = ("doc_id", "field", "position")
"""Columns that name a text, and by which texts are sorted."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The texts of one part, sorted and told apart."""

    sound: pa.Table
    """Texts to analyse, by (doc_id, field, position); schema TEXTS, no nulls in doc_id, field, text and text_hash."""
    faulty: pa.Table
    """Rows for quarantine, by (file, line, field, position); schema TEXTS, text null."""
    documents: int
    """Distinct documents among both, records without an id not counted."""


def cut_bounds(doc_ids: pa.Array, text_bytes: npt.NDArray[np.int64], part_bytes: int) -> Bounds:
    """Bounds for a first run: as few parts as ``part_bytes`` of text each allow, all of the same size, so that none is
    left over for one worker while the others have nothing to do.

    ``doc_ids`` are distinct and sorted; ``text_bytes`` are the UTF-8 bytes of each. A part ends with the document that
    brings it and those before it to their share of the whole. ``follow_bounds`` leaves them as they are.
    """
    total = np.cumsum(text_bytes)
    whole = int(total[-1]) if len(total) else 0
    parts = max(1, -(-whole // part_bytes))
    shares = np.array([-(-whole * part // parts) for part in range(1, parts)], np.int64)
    places = np.unique(np.searchsorted(total, shares)) + 1
    even = ("", *doc_ids.take(pa.array(places[places < len(doc_ids)])).to_pylist())
    # Documents of uneven sizes may leave parts that are too small.
    return follow_bounds(even, doc_ids, text_bytes, part_bytes)


def follow_bounds(previous: Bounds, doc_ids: pa.Array, text_bytes: npt.NDArray[np.int64], part_bytes: int) -> Bounds:
    """Bounds for a later run: those of its predecessor, except that a part splits when it holds over twice
    ``part_bytes`` and joins the one before it when both together hold no more than ``part_bytes``.

    Doing it again with the same documents changes nothing.
    """
    places = np.append(lower_places(doc_ids, previous), len(doc_ids))
    pieces: list[tuple[str, int]] = []
    for bound, (first, end) in zip(previous, pairwise(places), strict=True):
        size = int(text_bytes[first:end].sum())
        if size <= 2 * part_bytes:
            pieces.append((bound, size))
            continue
        own_ids, own_bytes = doc_ids[first:end], text_bytes[first:end]
        cuts = _cuts(own_ids, own_bytes, part_bytes)
        cut_places = [0, *lower_places(own_ids, cuts), len(own_ids)]
        sizes = [int(own_bytes[start:stop].sum()) for start, stop in pairwise(cut_places)]
        pieces += zip((bound, *cuts), sizes, strict=True)
    kept = pieces[:1]
    for bound, size in pieces[1:]:
        if kept[-1][1] + size <= part_bytes:
            kept[-1] = (kept[-1][0], kept[-1][1] + size)
        else:
            kept.append((bound, size))
    return tuple(bound for bound, _ in kept)


def _cuts(doc_ids: pa.Array, text_bytes: npt.NDArray[np.int64], part_bytes: int) -> list[str]:
    """First doc_id of every part but the first one."""
    total = np.cumsum(text_bytes)
    cuts: list[str] = []
    done = 0
    while True:
        place = int(np.searchsorted(total, done + part_bytes)) + 1
        if place >= len(doc_ids):
            return cuts
        cuts.append(doc_ids[place].as_py())
        done = int(total[place - 1])


def lower_places(doc_ids: pa.Array, bounds: Sequence[str]) -> npt.NDArray[np.intp]:
    """For each bound, the place of the first of the sorted ``doc_ids`` that is not below it."""
    ids = doc_ids.to_numpy(zero_copy_only=False)
    return np.asarray(np.searchsorted(ids, np.array(bounds, object), side="left"), np.intp)


def part_numbers(doc_ids: pa.Array, bounds: Bounds) -> npt.NDArray[np.intp]:
    """The part each doc_id belongs to. Records without an id go to the first part, which quarantines them."""
    ids = doc_ids.fill_null("")
    if pc.all(pc.less_equal(ids[:-1], ids[1:])).as_py() is not False:
        return _part_numbers_in_order(ids, bounds)
    values = ids.to_numpy(zero_copy_only=False)
    return np.asarray(np.searchsorted(np.array(bounds, object), values, side="right") - 1, np.intp)


def _part_numbers_in_order(ids: pa.StringArray, bounds: Bounds) -> npt.NDArray[np.intp]:
    """The same for ascending ids, as sources often have them: a search a bound instead of one an id."""
    if not len(ids):
        return np.zeros(0, np.intp)
    first, last = (bisect_right(bounds, ids[at].as_py()) - 1 for at in (0, len(ids) - 1))
    places = [
        bisect_left(range(len(ids)), bound, key=lambda at: ids[at].as_py()) for bound in bounds[first + 1 : last + 1]
    ]
    return np.repeat(np.arange(first, last + 1, dtype=np.intp), np.diff([0, *places, len(ids)]))


def split(texts: pa.Table, bounds: Bounds, wanted: Sequence[int] | None = None) -> list[pa.Table]:
    """Cut a table of schema TEXTS into one table a part, rows in their order; only the parts ``wanted``, if given."""
    if len(bounds) == 1:
        return [texts] if wanted is None else [texts] * len(wanted)
    numbers = part_numbers(texts["doc_id"].combine_chunks(), bounds)
    order = np.argsort(numbers, kind="stable")
    ends = np.searchsorted(numbers[order], np.arange(len(bounds) + 1))
    places = [(ends[number], ends[number + 1]) for number in (range(len(bounds)) if wanted is None else wanted)]
    # Each table has buffers of its own: a slice would be sent to its part with all the others' bytes.
    if bool((numbers[:-1] <= numbers[1:]).all()):
        return [_copy(texts.slice(first, end - first)) for first, end in places]
    return [texts.take(pa.array(order[first:end])) for first, end in places]


def _copy(texts: pa.Table) -> pa.Table:
    """The same rows in buffers of their own, several times as fast as taking them one by one."""
    # Of one chunk Arrow would only give back the slice.
    return pa.concat_tables([texts, texts.schema.empty_table()]).combine_chunks()


def prepare(texts: pa.Table) -> Prepared:
    """Sort a part's texts and set aside what cannot be analysed, all documents that share an id included."""
    texts = _mark_duplicates(texts)
    is_sound = pc.is_null(texts["reason"])
    sound = _where(texts, pc.and_(is_sound, pc.is_valid(texts["text_hash"])))
    return Prepared(
        sound=_sorted_by_key(sound),
        faulty=_sorted(_where(texts, pc.invert(is_sound)), "file", "line", "field", "position"),
        documents=pc.count_distinct(texts["doc_id"], "only_valid").as_py(),
    )


def _where(table: pa.Table, condition: pa.ChunkedArray) -> pa.Table:
    # Nearly always it is all of them or none, and a copy takes longer than to see that.
    return table if pc.all(condition).as_py() else table.filter(condition)


def _sorted(table: pa.Table, *columns: str) -> pa.Table:
    keys = [(column, "ascending") for column in columns]
    return table.take(pc.sort_indices(table, keys)).combine_chunks()


def _sorted_by_key(sound: pa.Table) -> pa.Table:
    if _is_sorted(sound):
        return sound
    # A document's texts come together and in order: to sort the documents is enough, and they are fewer.
    doc_ids = sound["doc_id"].combine_chunks()
    first = np.append(True, pc.not_equal(doc_ids[1:], doc_ids[:-1]).to_numpy(zero_copy_only=False))
    starts = np.flatnonzero(first)
    counts = np.diff(starts, append=len(doc_ids))
    order = pc.sort_indices(doc_ids.take(pa.array(starts))).to_numpy()
    by_document = sound.take(pa.array(ranges(starts[order], counts[order]))).combine_chunks()
    return by_document if _is_sorted(by_document) else _sorted(sound, *_KEY)


def _is_sorted(sound: pa.Table) -> bool:
    """Whether texts are in the order of their keys, as those of a source that is itself in order are."""
    in_order = pa.scalar(True)
    for name in reversed(_KEY):
        before, after = _neighbours(sound, name)
        in_order = pc.or_(pc.less(before, after), pc.and_(pc.equal(before, after), in_order))
    return len(sound) < 2 or bool(pc.all(in_order).as_py())


def _neighbours(table: pa.Table, column: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The values of a column but the last, and but the first."""
    values = table[column]
    return values.slice(0, max(0, len(values) - 1)), values.slice(1)


def _mark_duplicates(texts: pa.Table) -> pa.Table:
    """Set reason and message, and take the text away, wherever several records have the row's doc_id.

    A sound record without any text counts among them but stays as it is: there is nothing of it to hold back, and the
    source's count of texts leaves it out.
    """
    if _count_records(texts) == pc.count_distinct(texts["doc_id"], "only_valid").as_py():
        return texts
    records = texts.select(["doc_id", "file", "line"]).group_by(["doc_id", "file", "line"]).aggregate([])
    counts = records.group_by("doc_id").aggregate([([], "count_all")])
    shared = counts.filter(pc.and_(pc.is_valid(counts["doc_id"]), pc.greater(counts["count_all"], 1)))
    if not len(shared):
        return texts
    place = pc.index_in(texts["doc_id"], shared["doc_id"].combine_chunks())
    message = pc.binary_join_element_wise(
        pc.cast(shared["count_all"].combine_chunks().take(place), pa.string()),
        "documents of the source have this id",
        " ",
    )
    replaced = {
        "text": pa.scalar(None, pa.string()),
        "text_hash": pa.scalar(None, pa.string()),
        "reason": pa.scalar(str(Reason.DUPLICATE_ID), pa.string()),
        "message": message,
    }
    has_text = pc.or_(pc.is_valid(texts["text_hash"]), pc.is_valid(texts["reason"]))
    duplicate = pc.and_(pc.is_valid(place), has_text)
    columns = [
        pc.if_else(duplicate, replaced[name], texts[name]) if name in replaced else texts[name] for name in TEXTS.names
    ]
    return pa.Table.from_arrays(columns, schema=TEXTS)


def _count_records(texts: pa.Table) -> int:
    """Distinct records of the source with an id."""
    with_id = texts.select(["file", "line"]).filter(pc.is_valid(texts["doc_id"]))
    # A file of 2**40 lines would be of a terabyte at the least.
    place = pc.add(pc.multiply(pc.cast(with_id["file"], pa.int64()), 1 << 40), with_id["line"])
    return int(pc.count_distinct(place).as_py())


def has_unique_keys(sound: pa.Table) -> bool:
    """Whether no two neighbours of the sorted texts have the same (doc_id, field, position)."""
    same = pa.scalar(True)
    for name in _KEY:
        same = pc.and_(same, pc.equal(*_neighbours(sound, name)))
    return len(sound) < 2 or not pc.any(same).as_py()


def part_key(
    sound: pa.Table, fields: Sequence[str], lower: str, upper: str | None, *, fingerprint: str, schema: str
) -> str:
    """The name under which a finished part is staged: 32 hex digits of all that decides its content.

    That is its bounds, its ordered (doc_id, field, position, text_hash), the fingerprint and the schema version.
    """
    head = "\0".join((str(len(sound)), lower, "" if upper is None else f"below {upper}", fingerprint, schema, *fields))
    digest = hashlib.sha256(f"{len(head)}\0{head}\0".encode())
    for name in (*_KEY, "text_hash"):
        for chunk in sound[name].chunks:
            digest.update(_lengths(chunk))
        for chunk in sound[name].chunks:
            digest.update(_values(chunk))
    return digest.hexdigest()[:32]


def _lengths(array: pa.Array) -> bytes:
    """Bytes of each string, as little-endian int32; of numbers, nothing."""
    return pc.binary_length(array).to_numpy().astype("<i4").tobytes() if pa.types.is_string(array.type) else b""


def _values(array: pa.Array) -> memoryview:
    """The bytes of all values, one after another."""
    return joined_bytes(array) if pa.types.is_string(array.type) else memoryview(array.to_numpy().tobytes())
