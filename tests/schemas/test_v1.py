"""Schema v1 as it was published."""

from __future__ import annotations

import pyarrow as pa

from kizami_schemas import v1
from kizami_schemas.compatibility import FROZEN_FOLDER, describe, frozen, render_frozen
from kizami_schemas.documentation import V1_PAGE, render_markdown

PROMISED = (
    ("doc_id", "string", "required"),
    ("field", "string", "required"),
    ("position", "int32", "required"),
    ("text", "string", "required"),
    ("text_hash", "string", "required"),
    ("sentence_start", "list<int32>", "nullable"),
    ("surface", "list<string>", "nullable"),
    ("start", "list<int32>", "nullable"),
    ("pos1", "list<string>", "nullable"),
    ("pos2", "list<string>", "nullable"),
    ("pos3", "list<string>", "nullable"),
    ("pos4", "list<string>", "nullable"),
    ("c_type", "list<string>", "nullable"),
    ("c_form", "list<string>", "nullable"),
    ("lemma", "list<string>", "nullable"),
    ("orth_base", "list<string>", "nullable"),
    ("l_form", "list<string>", "nullable"),
    ("pron", "list<string>", "nullable"),
    ("goshu", "list<string>", "nullable"),
    ("is_unknown", "list<bool>", "nullable"),
)
"""v1.0, written down a second time: whoever makes the golden file anew meets this table."""


def test_the_schema_is_the_frozen_one() -> None:
    """Code and golden file say the same, wording included."""
    assert render_frozen(v1.MAJOR, v1.MINOR, v1.SCHEMA) == (FROZEN_FOLDER / "v1.json").read_text("utf-8")


def test_the_frozen_schema_begins_with_what_was_promised() -> None:
    """The golden file keeps every column of v1.0 in its place."""
    columns = [
        (column["name"], column["type"], "nullable" if column["nullable"] else "required") for column in frozen(1)
    ]
    assert tuple(columns[: len(PROMISED)]) == PROMISED


def test_every_column_is_documented() -> None:
    """A column without a meaning is not published."""
    for column in describe(v1.SCHEMA):
        assert column["doc"].endswith("."), column["name"]


def test_no_column_has_an_arrow_dictionary_type() -> None:
    """Types are plain: readers would otherwise see categories that differ from part to part."""
    for field in v1.SCHEMA:
        element = field.type.value_type if pa.types.is_list(field.type) else field.type
        assert not pa.types.is_dictionary(element), field.name


def test_the_token_columns_are_the_lists_of_one_length() -> None:
    """Everything from `surface` on has one element a token."""
    assert tuple(name for name, _, _ in PROMISED[6:]) == v1.TOKEN_COLUMNS


def test_the_page_is_what_the_code_renders() -> None:
    """schemas/v1.md was not edited by hand, nor forgotten."""
    assert V1_PAGE.read_text("utf-8") == render_markdown(v1.MAJOR, v1.MINOR, v1.SCHEMA)


def test_the_page_has_a_row_a_column() -> None:
    """The page names every column with its type and its promise about nulls, and no cell breaks the table."""
    rows = [line for line in V1_PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert [row.split("|")[1:4] for row in rows] == [
        [f" `{name}` ", f" {type_} ", " may be null " if nulls == "nullable" else " required "]
        for name, type_, nulls in PROMISED
    ]
    assert {row.count("|") for row in rows} == {5}
