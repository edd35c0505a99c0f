"""Documents of records: what is found quickly is what is found by looking closely."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kizami.sources.records import ID_LIMIT_BYTES, Records
from kizami.texts import Reason

_TEXT = st.text(st.characters(exclude_categories=()), max_size=6)
_RECORDS = Records(id_columns=["id"], fields=["title", "body"], limit_bytes=20)


@given(_TEXT, st.lists(st.none() | _TEXT, min_size=2, max_size=2))
@example("卵" * 400, ["a", "b"])
@example("1", ["あ" * 6, "ab"])
@example("1", ["あ" * 6, "abc"])
@example("", ["\ud800", None])
def test_strings_are_as_lists_of_one(doc_id: str, values: list[str | None]) -> None:
    """A text alone and a list with nothing else give one document, with the same fault if there is one."""
    alone = _RECORDS.document([doc_id], values)
    listed = _RECORDS.document([doc_id], [None if value is None else [value] for value in values])
    assert (alone.doc_id, alone.texts) == (listed.doc_id, listed.texts)
    faults = [None if each.fault is None else each.fault.reason for each in (alone, listed)]
    assert faults[0] == faults[1]


@pytest.mark.parametrize(
    ("doc_id", "values", "reason"),
    [
        ("1", ["題", "あ" * 5], None),
        ("", ["題", None], Reason.NULL_ID),
        ("i" * (ID_LIMIT_BYTES + 1), ["題", None], Reason.BAD_ID),
        ("\ud800", ["題", None], Reason.BAD_ID),
        ("1", ["\ud800", None], Reason.INVALID_UNICODE),
        ("1", ["題", 3], Reason.NOT_TEXT),
        ("1", ["題", "あ" * 6], Reason.TOO_LARGE),
    ],
)
def test_a_record_of_strings_is_judged_like_any(doc_id: str, values: list[object], reason: Reason | None) -> None:
    """Its id, its Unicode, what is no text, and its size."""
    fault = _RECORDS.document([doc_id], values).fault
    assert (None if fault is None else fault.reason) == reason
