"""Strings that grow at their end without a copy of what is there."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kizami.analysis import growing_strings
from kizami.analysis.growing_strings import GrowingStrings

PIECES = st.lists(st.lists(st.none() | st.text(max_size=5), max_size=20), max_size=12)


@given(PIECES, st.integers(0, 3))
def test_the_array_is_all_pieces_one_after_another(pieces: list[list[str | None]], cut: int) -> None:
    """After each piece, slices of arrays included, the array holds all of them, nulls where they were; also where none
    of its three buffers has the room."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing_strings, "_FIRST_ITEMS", 1)
        growing = GrowingStrings()
    expected: list[str | None] = []
    for piece in pieces:
        growing.append(pa.array(piece, pa.string())[cut:])
        expected += piece[cut:]
        found = growing.array()
        found.validate(full=True)
        assert found.to_pylist() == expected
        assert found.null_count == expected.count(None)
        assert len(growing) == len(expected)


def test_what_was_given_out_stays_as_it_is() -> None:
    """Arrays of before are the same after the room has grown many times over."""
    growing = GrowingStrings()
    given_out = []
    for number in range(40):
        growing.append(pa.array([f"語{number}", None, "x" * 1_000] * 100))
        given_out.append(growing.array())
    whole = given_out[-1].to_pylist()
    assert all(array.to_pylist() == whole[: len(array)] for array in given_out)


def test_arrays_share_their_memory() -> None:
    """As long as there is room, what is appended moves nothing."""
    growing = GrowingStrings()
    growing.append(pa.array(["語"]))
    before = growing.array()
    growing.append(pa.array(["句"]))
    assert before.buffers()[2].address == growing.array().buffers()[2].address
