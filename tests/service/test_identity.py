"""Ids: one string form for strings, integers and several columns, in every format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kizami
from kizami.identity import document_id, has_form, joined, joined_columns
from support.reading import blocks_of, digest_of, rows_in

CASES = [
    (("cookpad", 12), "cookpad/12"),
    (("a/b", "c"), "a%2Fb/c"),
    (("a", "b/c"), "a/b%2Fc"),
    (("100%", -7), "100%25/-7"),
    (("%2F", "レシピ 1"), "%252F/レシピ 1"),
]


@pytest.mark.parametrize(("values", "expected"), CASES)
def test_the_form_is_the_documented_one(values: tuple[str | int, ...], expected: str) -> None:
    """Joined by a slash; a slash or a percent sign inside is escaped. Readers have the same function."""
    assert document_id(*values) == expected
    assert kizami.document_id(*values) == expected


@pytest.mark.parametrize(("value", "expected"), [("a/b%", "a/b%"), (7, "7"), (-3, "-3"), ("007", "007")])
def test_a_single_id_is_as_it_is(value: str | int, expected: str) -> None:
    """No escapes: ids of the corpora that there are do not change."""
    assert document_id(value) == expected


@given(
    st.lists(st.text("a/%2F5", min_size=1), min_size=2, max_size=3), st.lists(st.text("a/%2F5"), min_size=2, max_size=3)
)
def test_no_two_ids_have_one_form(one: list[str], other: list[str]) -> None:
    """Whatever slashes and percent signs are in them; and columns give the same as values."""
    assert (joined(one) == joined(other)) == (one == other)
    assert joined_columns([pa.array([part]) for part in one]).to_pylist() == [joined(one)]
    assert has_form(joined(one), len(one))
    assert not has_form(joined(one), len(one) + 1)


@pytest.mark.parametrize("doc_id", ["a", "a/b/5", "a/", "/5", "100%/5", "a%2fb/5", "a%41/5"])
def test_what_is_no_id_of_two_columns_is_told_apart(doc_id: str) -> None:
    """Too few, too many or empty values, and a percent sign that escapes nothing."""
    assert not has_form(doc_id, 2)
    assert has_form(doc_id, 1)


RECORDS: list[dict[str, Any]] = [
    {"site": "a/b", "number": 1, "title": "卵焼き"},
    {"site": "a", "number": 1, "title": "味噌汁"},
    {"site": "a", "number": None, "title": "親子丼"},
    {"site": "", "number": 2, "title": "天丼"},
    {"site": "100%", "number": 3, "title": None},
]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    """The records in the format of the name."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["site", "number", "title"])
            writer.writeheader()
            writer.writerows(records)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.csv"])
def test_a_composite_id_is_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    """A null or an empty value in any of its columns is no id, and the message names the column."""
    blocks = blocks_of(write(tmp_path / name, RECORDS), ["title"], id_column=("site", "number"))
    rows = [(row.doc_id, row.text, row.reason) for row in rows_in(blocks, ["title"])]
    assert rows == [
        ("a%2Fb/1", "卵焼き", None),
        ("a/1", "味噌汁", None),
        (None, None, "null_id"),
        (None, None, "null_id"),
        ("100%25/3", None, None),
    ]
    messages = blocks[0].texts["message"].to_pylist()
    assert messages[2] == "id number is null or missing"
    assert "id site is" in messages[3]


def test_sound_rows_and_those_beside_a_fault_have_the_same_ids(tmp_path: Path) -> None:
    """What is read in columns and what is read record by record agree."""
    sound = [RECORDS[0], RECORDS[1], RECORDS[4]]
    columns = blocks_of(write(tmp_path / "a.parquet", sound), ["title"], id_column=("site", "number"))
    records = blocks_of(write(tmp_path / "a.jsonl", sound), ["title"], id_column=("site", "number"))
    assert digest_of(columns) == digest_of(records)


def test_an_id_too_long_in_all_is_held_back(tmp_path: Path) -> None:
    """The limit is for the whole of it, escapes included."""
    path = write(tmp_path / "a.jsonl", [{"site": "/" * 400, "number": 1, "title": "卵"}])
    [row] = rows_in(blocks_of(path, ["title"], id_column=("site", "number")), ["title"])
    assert row.reason == "bad_id"
