"""Parts: every document in one place, the same place tomorrow, and a key that names the content."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kizami.parts import (
    WHOLE,
    Bounds,
    cut_bounds,
    follow_bounds,
    has_unique_keys,
    part_key,
    part_numbers,
    prepare,
    split,
)
from kizami.texts import TEXTS, Reason, text_hash

DOC_IDS = st.text(st.sampled_from("aｚ🍣料\ud7ff\ue000\uffff\U00010000"), min_size=1, max_size=4)
CORPORA = st.dictionaries(DOC_IDS, st.integers(0, 30), max_size=40)
"""doc_id → bytes of text. UTF-16 would sort these ids otherwise."""


def cut(documents: dict[str, int], part_bytes: int) -> Bounds:
    """Bounds of a first run."""
    ids = sorted(documents)
    return cut_bounds(pa.array(ids, pa.string()), np.array([documents[i] for i in ids], np.int64), part_bytes)


def follow(previous: Bounds, documents: dict[str, int], part_bytes: int) -> Bounds:
    """Bounds of a later run."""
    ids = sorted(documents)
    sizes = np.array([documents[i] for i in ids], np.int64)
    return follow_bounds(previous, pa.array(ids, pa.string()), sizes, part_bytes)


def held(documents: dict[str, int], bounds: Bounds) -> list[list[str]]:
    """The ids of each part, by the definition of bounds."""
    uppers = [*bounds[1:], None]
    return [
        [doc_id for doc_id in sorted(documents) if lower <= doc_id and (upper is None or doc_id < upper)]
        for lower, upper in zip(bounds, uppers, strict=True)
    ]


def sizes(documents: dict[str, int], bounds: Bounds) -> list[int]:
    """The bytes of each part."""
    return [sum(documents[doc_id] for doc_id in part) for part in held(documents, bounds)]


def text_row(doc_id: str | None, **changes: Any) -> dict[str, Any]:
    """A row of schema TEXTS: a sound one but for ``changes``."""
    text = changes.get("text", "塩を少々")
    digest = None if text is None else text_hash(text.encode())
    row = {"field": 0, "position": 0, "text": text, "text_hash": digest, "reason": None, "message": None}
    return {"doc_id": doc_id, **row, "file": 0, "line": 1, **changes}


def texts(*rows: dict[str, Any]) -> pa.Table:
    """Rows as a table of schema TEXTS."""
    return pa.Table.from_pylist(list(rows), schema=TEXTS)


@pytest.mark.parametrize(
    ("documents", "part_bytes", "bounds"),
    [
        ({}, 10, ("",)),
        ({"a": 0}, 10, ("",)),
        ({"a": 99}, 10, ("",)),
        ({"a": 5, "b": 5}, 10, ("",)),
        ({"a": 5, "b": 5, "c": 0}, 10, ("",)),
        ({"a": 5, "b": 5, "c": 1}, 10, ("", "c")),
        ({"a": 9, "b": 9, "c": 9}, 10, ("", "b", "c")),
        ({"a": 4, "b": 4, "c": 4, "d": 4}, 10, ("", "c")),
        ({"a": 1, "b": 99, "c": 1}, 10, ("", "c")),
        ({"a": 99, "b": 1, "c": 99, "d": 1}, 10, ("", "b", "c", "d")),
        ({"a": 10, "b": 10, "c": 10}, 10, ("", "b", "c")),
        ({"ｚ": 10, "🍣": 10, "料": 10}, 10, ("", "ｚ", "🍣")),
    ],
)
def test_a_first_run_cuts_equal_parts(documents: dict[str, int], part_bytes: int, bounds: Bounds) -> None:
    """As few as the target allows; ids are in the order of their code points."""
    assert cut(documents, part_bytes) == bounds


@pytest.mark.parametrize(
    ("previous", "documents", "bounds"),
    [
        (("",), {}, ("",)),
        (("", "m"), {"a": 9, "n": 9}, ("", "m")),
        (("", "m"), {"a": 20, "n": 20}, ("", "m")),
        (("", "m"), {"a": 5, "n": 5}, ("",)),
        (("", "m"), {"a": 5, "n": 6}, ("", "m")),
        (("", "m", "t"), {}, ("",)),
        (("", "m", "t"), {"a": 5, "n": 3, "u": 2}, ("",)),
        (("", "m", "t"), {"a": 5, "n": 6, "u": 4}, ("", "m")),
        (("", "m"), {"a": 10, "b": 10, "c": 1, "n": 20}, ("", "b", "c", "m")),
        (("", "m"), {"a": 10, "b": 10, "c": 1, "n": 9}, ("", "b", "c")),
        (("",), {"a": 30}, ("",)),
        (("",), {"a": 1, "b": 30}, ("",)),
    ],
)
def test_a_later_run_follows_its_predecessor(previous: Bounds, documents: dict[str, int], bounds: Bounds) -> None:
    """At a target of 10 bytes a part of more than 20 splits, neighbours of no more than 10 together join."""
    assert follow(previous, documents, 10) == bounds


@given(CORPORA, st.integers(1, 60))
def test_cut_parts_have_their_size(documents: dict[str, int], part_bytes: int) -> None:
    """They are no more than the target asks for, none passes an equal share by more than its last document, and what
    two neighbours hold would be too much for one."""
    bounds = cut(documents, part_bytes)
    whole = sum(documents.values())
    wanted = max(1, -(-whole // part_bytes))
    assert len(bounds) <= wanted
    for part, size in zip(held(documents, bounds), sizes(documents, bounds), strict=True):
        largest = max((documents[doc_id] for doc_id in part), default=0)
        assert size <= max(whole / wanted + largest, part_bytes)
    assert all(one + other > part_bytes for one, other in pairwise(sizes(documents, bounds)))
    assert follow(bounds, documents, part_bytes) == bounds


@given(CORPORA, CORPORA, st.integers(1, 60))
def test_followed_parts_keep_within_their_size(before: dict[str, int], now: dict[str, int], part_bytes: int) -> None:
    """No part passes twice the target but by its last document, and no two neighbours would fit into one."""
    bounds = follow(cut(before, part_bytes), now, part_bytes)
    for part in held(now, bounds):
        total = sum(now[doc_id] for doc_id in part)
        assert total <= 2 * part_bytes or sum(now[doc_id] for doc_id in part[:-1]) < part_bytes
    for first, second in pairwise(sizes(now, bounds)):
        assert first + second > part_bytes


@given(CORPORA, CORPORA, st.integers(1, 60))
def test_following_again_changes_nothing(before: dict[str, int], now: dict[str, int], part_bytes: int) -> None:
    """The same documents leave the bounds as they are, so that every part is found again under its key."""
    bounds = follow(cut(before, part_bytes), now, part_bytes)
    assert follow(bounds, now, part_bytes) == bounds


@given(CORPORA, st.integers(1, 60), DOC_IDS)
def test_one_new_document_moves_no_bound_but_its_own(documents: dict[str, int], part_bytes: int, doc_id: str) -> None:
    """An id without texts leaves all bounds beyond its own part as they were: those parts are found again."""
    first = follow(cut(documents, part_bytes), documents, part_bytes)
    second = follow(first, {doc_id: 0, **documents}, part_bytes)
    number = int(part_numbers(pa.array([doc_id]), first)[0])
    own = first[number : number + 2]
    assert all(own[0] <= bound <= (*own, doc_id)[1] for bound in set(first) ^ set(second))


@given(CORPORA, CORPORA, st.integers(1, 60))
def test_every_document_is_in_exactly_one_part(before: dict[str, int], now: dict[str, int], part_bytes: int) -> None:
    """Bounds ascend from "", numbers agree with them, and splitting loses and doubles nothing, order kept."""
    for bounds in (cut(now, part_bytes), follow(cut(before, part_bytes), now, part_bytes)):
        assert bounds[0] == ""
        assert list(bounds) == sorted(set(bounds))
        for ids in (now, sorted(now)):  # as they come, and as the order of most sources is
            table = texts(*(text_row(doc_id, position=position) for doc_id in ids for position in (0, 1)))
            pieces = split(table, bounds)
            assert [sorted(set(piece["doc_id"].to_pylist())) for piece in pieces] == held(now, bounds)
            numbers = part_numbers(table["doc_id"].combine_chunks(), bounds)
            for number, piece in enumerate(pieces):
                assert piece.equals(table.filter(pa.array(numbers == number)))


def test_records_without_an_id_go_to_the_first_part() -> None:
    """They are quarantined there."""
    table = texts(text_row("z"), text_row(None, text=None, reason="null_id"))
    assert [piece["doc_id"].to_pylist() for piece in split(table, ("", "m"))] == [[None], ["z"]]


def test_a_piece_has_buffers_of_its_own() -> None:
    """A piece sent to its part does not take the others' bytes along."""
    table = texts(*(text_row(f"{number:04d}", text="あ" * 1_000) for number in range(100)))
    pieces = split(table, ("", "0099"))
    assert pieces[1].get_total_buffer_size() < table.get_total_buffer_size() / 20


def test_texts_are_sorted_by_document_field_and_position() -> None:
    """Whatever the files and their order: ids by UTF-8, fields as configured, positions as numbers."""
    keys = [("ｚ", 0, 0), ("ｚ", 0, 2), ("ｚ", 0, 10), ("ｚ", 1, 0), ("🍣", 0, 0)]
    rows = [text_row(doc_id, field=field, position=position) for doc_id, field, position in keys]
    sound = prepare(texts(*reversed(rows))).sound
    assert [tuple(row.values()) for row in sound.select(["doc_id", "field", "position"]).to_pylist()] == keys
    assert has_unique_keys(sound)


def test_all_documents_that_share_an_id_are_held_back() -> None:
    """Each text of each of them, with the number of them; the others are analysed."""
    prepared = prepare(
        texts(
            text_row("b", line=1),
            text_row("b", line=1, field=1),
            text_row("a", line=2),
            text_row("b", line=3),
            text_row("b", file=1, line=1),
        )
    )
    assert prepared.sound["doc_id"].to_pylist() == ["a"]
    columns = ["doc_id", "field", "text", "text_hash", "reason", "message", "file", "line"]
    message = "3 documents of the source have this id"
    assert [tuple(row.values()) for row in prepared.faulty.select(columns).to_pylist()] == [
        ("b", 0, None, None, Reason.DUPLICATE_ID, message, 0, 1),
        ("b", 1, None, None, Reason.DUPLICATE_ID, message, 0, 1),
        ("b", 0, None, None, Reason.DUPLICATE_ID, message, 0, 3),
        ("b", 0, None, None, Reason.DUPLICATE_ID, message, 1, 1),
    ]
    assert prepared.documents == 2


def test_a_document_without_texts_still_makes_its_id_a_duplicate() -> None:
    """It holds the other one back, but has nothing of its own to hold back: the texts add up to those of the source."""
    empty = text_row("a", line=2, field=None, text=None)
    prepared = prepare(texts(text_row("a", line=1), empty))
    assert len(prepared.sound) == 0
    assert prepared.faulty.select(["line", "reason"]).to_pylist() == [{"line": 1, "reason": Reason.DUPLICATE_ID}]


def test_a_document_without_texts_is_a_document() -> None:
    """All its fields are null: no row, no quarantine, and it counts."""
    prepared = prepare(texts(text_row("a"), text_row("b", line=2, field=None, text=None)))
    assert (prepared.sound["doc_id"].to_pylist(), len(prepared.faulty), prepared.documents) == (["a"], 0, 2)


def test_faults_of_the_source_are_held_back() -> None:
    """Records without an id are no duplicates of one another; they come in the order of the source."""
    rows = [
        text_row(None, text=None, field=None, position=None, reason="unparsable", message="no JSON", line=line)
        for line in (9, 2)
    ]
    prepared = prepare(texts(*rows, text_row("a", text=None, reason="too_large", line=4), text_row("b", line=5)))
    assert prepared.sound["doc_id"].to_pylist() == ["b"]
    assert prepared.faulty["reason"].to_pylist() == ["unparsable", "too_large", "unparsable"]
    assert prepared.faulty["line"].to_pylist() == [2, 4, 9]
    assert prepared.documents == 2


def test_no_texts_are_prepared_too() -> None:
    """An empty part is a part."""
    prepared = prepare(TEXTS.empty_table())
    assert (len(prepared.sound), len(prepared.faulty), prepared.documents) == (0, 0, 0)
    assert has_unique_keys(prepared.sound)
    assert split(TEXTS.empty_table(), WHOLE)[0].schema.equals(TEXTS)


@pytest.mark.parametrize(
    ("second", "unique"),
    [
        ({}, False),
        ({"position": 1}, True),
        ({"field": 1}, True),
        ({"doc_id": "b"}, True),
    ],
)
def test_two_texts_of_one_key_are_noticed(second: dict[str, Any], unique: bool) -> None:  # of the table
    """(doc_id, field, position) names one text."""
    assert has_unique_keys(prepare(texts(text_row("a"), {**text_row("a"), **second})).sound) is unique


KEY_ROWS = [text_row("a", text="塩"), text_row("a", position=1, text="酢"), text_row("b", field=1, text="味噌")]


def key(rows: list[dict[str, Any]] = KEY_ROWS, **changes: Any) -> str:
    """The key of a part of these rows."""
    inputs: dict[str, Any] = {"fields": ("title", "steps"), "lower": "", "upper": "m", "schema": "1.0"}
    inputs |= {"fingerprint": "f" * 32, **changes}
    return part_key(texts(*rows), **inputs)


OTHER_KEYS = {
    "lower": key(lower="a"),
    "upper": key(upper="n"),
    "no upper": key(upper=None),
    "empty upper": key(upper=""),
    "fingerprint": key(fingerprint="e" * 32),
    "schema": key(schema="1.1"),
    "names of fields": key(fields=("title", "step")),
    "doc_id": key([{**KEY_ROWS[0], "doc_id": "A"}, *KEY_ROWS[1:]]),
    "field": key([{**KEY_ROWS[0], "field": 1}, *KEY_ROWS[1:]]),
    "position": key([{**KEY_ROWS[0], "position": 2}, *KEY_ROWS[1:]]),
    "text": key([{**KEY_ROWS[0], "text_hash": text_hash(b"x")}, *KEY_ROWS[1:]]),
    "order": key(KEY_ROWS[::-1]),
    "a row less": key(KEY_ROWS[:2]),
    "no rows": key([]),
}


@pytest.mark.parametrize("changed", OTHER_KEYS)
def test_a_part_has_another_key_when_its_content_is_another(changed: str) -> None:
    """Bounds, fingerprint, schema and every (doc_id, field, position, text_hash), in order, make the key."""
    assert OTHER_KEYS[changed] != key()
    assert list(OTHER_KEYS.values()).count(OTHER_KEYS[changed]) == 1


def test_a_key_does_not_depend_on_what_is_not_content() -> None:
    """Neither files and lines nor the chunks of the table."""
    moved = [{**row, "file": 7, "line": 99} for row in KEY_ROWS]
    table = texts(*KEY_ROWS)
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1, 0), table.slice(1)])
    inputs: dict[str, Any] = {"lower": "", "upper": "m", "schema": "1.0", "fingerprint": "f" * 32}
    assert {key(moved), part_key(chunked, ("title", "steps"), **inputs)} == {key()}


def test_a_key_tells_where_an_id_ends() -> None:
    """An id with spaces and digits in it is not mistaken for what follows an id."""
    tricky = text_row("a 5 title 0", text="塩")
    assert key([tricky]) != key([text_row("a", text="塩")])
    assert key(lower="", upper="below m") != key(lower="\0below m", upper="")


def test_a_key_is_32_hex_digits_that_stay() -> None:
    """The key of these rows is written down: another one would ask for every finished part again."""
    assert key() == "5d176bb0d3b38d465b88443e535c035a"
