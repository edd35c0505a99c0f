"""Where the id of a document stands in an object that is no Parquet."""

from __future__ import annotations

import json
import time

import pytest

from kizami.traces import ids_in_json, redacted

ID = "r-'7'\n料理"


@pytest.mark.parametrize(
    ("body", "is_named"),
    [
        (json.dumps({"parts": [{"lower": ID}]}), True),
        (json.dumps({"parts": [{"lower": ID}]}, ensure_ascii=False), True),
        (json.dumps({"parts": [{"lower": f"{ID}0"}]}), False),
        (json.dumps({"error": {"message": f"the source has no document {ID!r}: correct it"}}), True),
        (json.dumps({"error": {"message": f"the source has no document '{ID}'"}}), True),
        (json.dumps({"error": {"message": f"the source has no document {json.dumps(ID, ensure_ascii=False)}"}}), True),
        (json.dumps({"error": {"message": f"the source has no document {ID}"}}), False),
        (json.dumps({"date": ID}), False),
        (json.dumps({ID: "a key"}), False),
        (f"no JSON {ID}", True),
        (f"no JSON {json.dumps(ID)}", True),
        ("[" * 200_000 + ID, True),
        ("no JSON", False),
        ("", False),
    ],
)
def test_an_id_is_named_as_a_string_or_quoted_in_one(body: str, is_named: bool) -> None:
    """Whole, whatever escapes JSON has; where it is no JSON any occurrence counts."""
    assert ids_in_json(body.encode(), ["other", ID]) == (frozenset({ID}) if is_named else frozenset())


def test_what_is_redacted_names_nobody() -> None:
    """The rest of the message stays."""
    body = json.dumps({"error": {"message": f"no document {ID!r}, 'r-8'"}, "date": "2026-11-23"}).encode()
    clean = redacted(body, [ID])
    assert ids_in_json(clean, [ID]) == frozenset()
    assert json.loads(clean) == {"error": {"message": "no document (forgotten), 'r-8'"}, "date": "2026-11-23"}


def test_many_ids_are_looked_for_at_once() -> None:
    """The time follows the object's size, not that times the number of ids, which would take minutes here."""
    body = json.dumps({"parts": [{"lower": f"r-{number}", "sha256": "f" * 64} for number in range(50_000)]}).encode()
    started = time.monotonic()
    assert ids_in_json(body, [f"gone-{number}" for number in range(20_000)]) == frozenset()
    assert time.monotonic() - started < 20
