"""The manifest: what a snapshot consists of, and which part holds a document."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kizami import json_form
from kizami.errors import DataError
from kizami.manifest import Counts, Manifest, PartEntry, Provenance, decode_manifest


def part(lower: str, number: int = 0) -> PartEntry:
    """A part that begins at ``lower``."""
    return PartEntry(f"part-{number:05d}.parquet", lower, "0" * 32, 10, 100, 1, 4096, "f" * 64)


def manifest(*lowers: str) -> Manifest:
    """A manifest with parts of these bounds."""
    return Manifest(
        schema="1.0",
        corpus="recipes",
        snapshot="20261123T050000Z-0123456789abcdef",
        date="2026-11-23",
        created_at="2026-11-23T05:00:00Z",
        fingerprint="a" * 32,
        input_digest="b" * 64,
        counts=Counts(3, 4, 99, 3, 20, 1, 1, {"too_large": 1}),
        parts=tuple(part(lower, number) for number, lower in enumerate(lowers)),
        quarantine="v1/recipes/quarantine/20261123T045900Z-run.parquet",
        provenance=Provenance("run", "s3://dumps/*", 2, 99, False, ("title",), "unidic", 32 << 20, 1, {"ray": "2"}),
    )


def test_a_manifest_comes_back() -> None:
    """Every field, to the byte."""
    made = manifest("", "料理-0100", "🍣")
    assert decode_manifest(json_form.encode(made), "m.json") == made
    assert made.bounds == ("", "料理-0100", "🍣")


def test_a_manifest_without_parts_is_damaged() -> None:
    """Also an empty corpus has one part."""
    body = json_form.encode(replace(manifest(""), parts=()))
    with pytest.raises(DataError, match=r"^m\.json lists no parts"):
        decode_manifest(body, "m.json")


@pytest.mark.parametrize("schema", ["one", "1", "1.0.0", ""])
def test_a_schema_that_is_no_version_is_damage(schema: str) -> None:
    """The folder of a snapshot follows from its number."""
    with pytest.raises(DataError, match=r"^m\.json is of schema '.*restore"):
        decode_manifest(json_form.encode(replace(manifest(""), schema=schema)), "m.json")


def test_a_missing_field_is_named() -> None:
    """The path leads to the part."""
    content = json.loads(json_form.encode(manifest("", "b")))
    del content["parts"][1]["rows"]
    with pytest.raises(DataError, match=r"^'parts\[1\]\.rows' of m\.json is missing"):
        decode_manifest(json.dumps(content).encode(), "m.json")


@given(st.sets(st.text("aｚ🍣\ue000\uffff\U00010000", min_size=1)), st.text("aｚ🍣\ue000\uffff\U00010000"))
def test_a_document_is_in_the_part_its_utf8_says(bounds: set[str], doc_id: str) -> None:
    """The last part that does not begin after the id, by the order of UTF-8 bytes."""
    lowers = ["", *sorted(bounds, key=str.encode)]
    place = bisect_right([lower.encode() for lower in lowers], doc_id.encode()) - 1
    assert manifest(*lowers).part_of(doc_id).name == f"part-{place:05d}.parquet"
