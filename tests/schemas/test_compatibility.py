"""What may change in a published schema."""

from __future__ import annotations

import pyarrow as pa
import pytest

from kizami_schemas import v1
from kizami_schemas.compatibility import IncompatibleSchemaError, check_compatible, describe, frozen

_LEMMA = v1.SCHEMA.get_field_index("lemma")
_READING = pa.field("reading", pa.list_(pa.string()))
_REQUIRED_ELEMENTS = pa.list_(pa.field("element", pa.string(), nullable=False))

REFUSED = {
    "removed": (v1.SCHEMA.remove(_LEMMA), "column 'lemma' is gone"),
    "renamed": (v1.SCHEMA.set(_LEMMA, v1.SCHEMA.field("lemma").with_name("base")), "column 'lemma' is gone"),
    "moved": (
        pa.schema([v1.SCHEMA.field(1), v1.SCHEMA.field(0), *list(v1.SCHEMA)[2:]]),
        "column 'doc_id' moved from place 0 to 1",
    ),
    "retyped": (
        v1.SCHEMA.set(2, pa.field("position", pa.int64(), nullable=False)),
        "column 'position' changed from int32 to int64",
    ),
    "list retyped": (
        v1.SCHEMA.set(_LEMMA, pa.field("lemma", pa.list_(pa.large_string()))),
        "column 'lemma' changed from list<string> to list<large_string>",
    ),
    "dictionary": (
        v1.SCHEMA.set(_LEMMA, pa.field("lemma", pa.list_(pa.dictionary(pa.int32(), pa.string())))),
        "column 'lemma' changed from list<string> to list<dictionary<",
    ),
    "elements required": (
        v1.SCHEMA.set(_LEMMA, pa.field("lemma", _REQUIRED_ELEMENTS)),
        "column 'lemma' changed from list<string> to list<string required>",
    ),
    "may be null now": (
        v1.SCHEMA.set(0, pa.field("doc_id", pa.string())),
        "column 'doc_id' changed from required to nullable",
    ),
    "required now": (
        v1.SCHEMA.set(_LEMMA, pa.field("lemma", pa.list_(pa.string()), nullable=False)),
        "column 'lemma' changed from nullable to required",
    ),
    "required addition": (
        v1.SCHEMA.append(pa.field("reading", pa.string(), nullable=False)),
        "new column 'reading' is required",
    ),
    "inserted": (v1.SCHEMA.insert(0, _READING), "column 'doc_id' moved from place 0 to 1"),
    "named twice": (v1.SCHEMA.append(v1.SCHEMA.field("text")), "column 'text' is there twice"),
}


@pytest.mark.parametrize("change", REFUSED)
def test_an_incompatible_change_is_refused(change: str) -> None:
    """Each change that a reader of v1 would notice is refused, named, and sent to the next major version."""
    schema, message = REFUSED[change]
    with pytest.raises(IncompatibleSchemaError) as caught:
        check_compatible(frozen(1), describe(schema))
    assert message in str(caught.value)
    assert "next major version" in str(caught.value)


def test_every_fault_is_named() -> None:
    """One check tells everything that is wrong."""
    schema = v1.SCHEMA.remove(_LEMMA).append(pa.field("reading", pa.string(), nullable=False))
    with pytest.raises(IncompatibleSchemaError, match=r"'lemma' is gone; .*'orth_base' moved.*'reading' is required"):
        check_compatible(frozen(1), describe(schema))


def test_nullable_columns_may_be_added() -> None:
    """v1.1 may have columns that v1.0 had not: at the end, and they may be null."""
    schema = v1.SCHEMA.append(_READING).append(pa.field("language", pa.string()))
    assert check_compatible(frozen(1), describe(schema)) == ["reading", "language"]


def test_the_same_schema_adds_nothing() -> None:
    """A schema is compatible with itself, also where the wording of its documentation changed."""
    reworded = v1.SCHEMA.set(_LEMMA, v1.SCHEMA.field("lemma").with_metadata({"doc": "Otherwise."}))
    assert check_compatible(frozen(1), describe(reworded)) == []


def test_an_unpublished_version_has_no_golden_file() -> None:
    """Nothing is frozen before it is published."""
    with pytest.raises(FileNotFoundError):
        frozen(2)
