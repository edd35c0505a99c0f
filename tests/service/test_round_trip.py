"""The round trip of surfaces: every row whose tokens do not rebuild its text is counted, and no other."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kizami.analysis.analyser import bundled_analyser
from kizami.round_trip import broken_rows

Row = tuple[str | None, list[str | None] | None, list[int | None] | None]
"""Text, surfaces, starts."""

SOUND: dict[str, Row] = {
    "plain": ("肉じゃが", ["肉", "じゃが"], [0, 2 - 1]),
    "empty": ("", [], []),
    "blank": (" \t\u3000\u00a0\u2028\n", [], []),
    "controls": ("\x00卵\x07\x9f", ["卵"], [1]),
    "gaps": ("水 200\u3000ml ", ["水", "200", "ml"], [0, 2, 6]),
    "beyond the basic plane": ("𠮷野家の🍣", ["𠮷野家", "の", "🍣"], [0, 3, 4]),
    "two bytes": ("é ñ", ["é", "ñ"], [0, 2]),
    "one token": ("肉", ["肉"], [0]),
}
BROKEN: dict[str, Row] = {
    "another surface": ("肉じゃが", ["肉", "じゃか"], [0, 1]),
    "another surface of other length": ("肉じゃが", ["肉", "じゃ"], [0, 1]),
    "a token missing": ("肉じゃが", ["じゃが"], [1]),
    "no tokens": ("肉", [], []),
    "offsets in bytes": ("肉じゃが", ["肉", "じゃが"], [0, 3]),
    "one too far": ("肉 卵", ["肉", "卵"], [0, 1]),
    "in the middle of another": ("ああ", ["ああ", "あ"], [0, 1]),
    "twice": ("ああ", ["あ", "あ"], [0, 0]),
    "in another order": ("肉卵", ["卵", "肉"], [1, 0]),
    "before the text": ("肉", ["肉"], [-1]),
    "behind the text": ("肉", ["肉"], [1]),
    "over the end": ("肉", ["肉卵"], [0]),
    "a surface too many": ("肉", ["肉", "卵"], [0]),
    "a start too many": ("肉", ["肉"], [0, 1]),
    "a null surface": ("肉", [None], [0]),
    "a null start": ("肉", ["肉"], [None]),
    "null surfaces": ("肉", None, [0]),
    "null starts": ("肉", ["肉"], None),
    "null text": (None, [], []),
    "a zero-width space outside": ("肉\u200b卵", ["肉", "卵"], [0, 2]),
    "a code point cut in two": ("肉卵", ["肉", "\x80"], [0, 1]),
}


def count(rows: list[Row], *, encoded: bool = False) -> int:
    """How many are found broken; ``encoded``: with surfaces as indices into a dictionary."""
    texts, surfaces, starts = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    found: Any = pa.array(surfaces, pa.list_(pa.string()))
    if encoded:
        found = found.cast(pa.list_(pa.dictionary(pa.int32(), pa.string())))
    return broken_rows(pa.array(texts, pa.string()), found, pa.array(starts, pa.list_(pa.int32())))


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("case", SOUND)
def test_a_sound_row_is_sound(case: str, encoded: bool) -> None:
    """Slices in order, white space and controls between them."""
    assert count([SOUND[case]], encoded=encoded) == 0


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_is_found_among_sound_ones(case: str, encoded: bool) -> None:
    """One fault makes one row, wherever it stands."""
    assert count([BROKEN[case]], encoded=encoded) == 1
    sound = list(SOUND.values())
    for place in range(len(sound) + 1):
        assert count([*sound[:place], BROKEN[case], *sound[place:]], encoded=encoded) == 1


def test_all_are_counted() -> None:
    """Each broken row once; none of no rows."""
    rows = [row for pair in zip(BROKEN.values(), list(SOUND.values()) * 3, strict=False) for row in pair]
    assert count(rows) == len(BROKEN)
    assert count([]) == 0


def test_slices_of_arrays_are_seen_as_what_they_are() -> None:
    """Arrow's offsets into larger buffers do not shift anything."""
    rows = [*SOUND.values(), BROKEN["twice"], *SOUND.values()]
    columns = (
        pa.array([text for text, _, _ in rows]),
        pa.array([surfaces for _, surfaces, _ in rows]),
        pa.array([starts for _, _, starts in rows], pa.list_(pa.int32())),
    )
    for at in range(len(rows)):
        found = broken_rows(*(column.slice(at, 1) for column in columns))
        assert found == (1 if rows[at] == BROKEN["twice"] else 0)
    assert broken_rows(*(column.slice(len(SOUND)) for column in columns)) == 1


def rebuilds(text: str, surfaces: list[str], starts: list[int]) -> bool:
    """The rule, token by token."""
    end = 0
    for surface, start in zip(surfaces, starts, strict=True):
        if start < end or text[start : start + len(surface)] != surface or not blank(text[end:start]):
            return False
        end = start + len(surface)
    return blank(text[end:])


def blank(text: str) -> bool:
    """White space and controls alone."""
    return all(each.isspace() or unicodedata.category(each) == "Cc" for each in text)


CHARACTERS = "あ肉é🍣a \u3000\n\x00"
TEXTS = st.text(CHARACTERS, max_size=8)


@st.composite
def nearly_sound(draw: st.DrawFn) -> Row:
    """A text cut into tokens somehow, some left out or moved by a little."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    tokens = [(text[start:end], start) for start, end in pairwise(cuts)]
    tokens = [token for token in tokens if draw(st.booleans()) or not blank(token[0])]
    moved = [(surface, start + draw(st.sampled_from([0, 0, 0, 0, 0, 1, -1]))) for surface, start in tokens]
    return text, [surface for surface, _ in moved], [start for _, start in moved]


@settings(max_examples=400, deadline=None)
@given(st.lists(nearly_sound(), max_size=6))
def test_the_count_is_that_of_the_rule(rows: list[Any]) -> None:
    """The vectorised check and the rule applied token by token agree."""
    assert count(rows) == sum(not rebuilds(*row) for row in rows)
    assert count(rows, encoded=True) == count(rows)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=20).filter(lambda text: text.isprintable() or text.isspace()), max_size=5))
def test_what_the_analyser_gives_is_sound(texts: list[str]) -> None:
    """Whatever the text."""
    tokens = bundled_analyser().analyse(texts).tokens
    columns = (tokens[name].combine_chunks() for name in ("surface", "start"))
    assert broken_rows(pa.array(texts, pa.string()), *columns) == 0
