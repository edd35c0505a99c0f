"""Tokens of the same text, analysed twice: which spans are split otherwise, which features changed."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from kizami.errors import DataError
from kizami.token_changes import compare_tokens
from support.split_rows import Split, split_rows

FEATURES = ("pos1", "lemma", "pron", "is_unknown")

SPLITS = {
    "equal": ("豚|肉|を|焼く", "豚|肉|を|焼く", []),
    "a boundary moves": ("豚バラ|肉|を|焼く", "豚|バラ肉|を|焼く", [(0, "豚バラ|肉", "豚|バラ肉")]),
    "two become one": ("玉|ねぎ|を|切る", "玉ねぎ|を|切る", [(0, "玉|ねぎ", "玉ねぎ")]),
    "one becomes two": ("鍋|に|生姜焼き", "鍋|に|生姜|焼き", [(2, "生姜焼き", "生姜|焼き")]),
    "neighbours change apart": ("玉ねぎ|豚肉", "玉|ねぎ|豚|肉", [(0, "玉ねぎ", "玉|ねぎ"), (3, "豚肉", "豚|肉")]),
    "a chain that overlaps is one change": (
        "ああ|いい|うう",
        "あ|あい|いう|う",
        [(0, "ああ|いい|うう", "あ|あい|いう|う")],
    ),
    "offsets are code points": (
        "🍣🍶|に|肉じゃが",
        "🍣|🍶|に|肉|じゃが",
        [(0, "🍣🍶", "🍣|🍶"), (3, "肉じゃが", "肉|じゃが")],
    ),
    "white space between tokens": ("水| 200|ml|を", "水| 200ml|を", [(2, "200|ml", "200ml")]),
    "one token across white space": ("ice| cream|です", "ice cream|です", [(0, "ice|cream", "ice cream")]),
    "a token where there was none": ("肉|　 |卵", "肉|　 |卵", []),
    "no tokens on either side": (" 　", " 　", []),
}


@pytest.mark.parametrize("case", SPLITS)
def test_changed_splits_are_the_smallest_spans(case: str) -> None:
    """Where both sides agree on the tokens nothing is told; elsewhere the smallest span on whose ends both agree."""
    old, new, expected = SPLITS[case]
    found = compare_tokens(split_rows([Split(old)]), split_rows([Split(new)]), FEATURES)
    told = [(change["start"], "|".join(change["old"]), "|".join(change["new"])) for change in found.splits.to_pylist()]
    assert told == expected
    assert found.features == {}
    assert found.rows.tolist() == [bool(expected)]


def test_a_token_may_appear_where_there_was_none() -> None:
    """White space that one side takes for a word is a change from no token to one."""
    old = split_rows([Split("肉|\u3000卵")])
    new = split_rows([Split("肉|\u3000卵", features={"surface": ["肉", "\u3000", "卵"], "start": [0, 1, 2]})])
    expected = [{"old": [], "new": ["\u3000"], "row": 0, "start": 1}]
    assert compare_tokens(old, new, ()).splits.to_pylist() == expected


def test_features_are_compared_where_the_split_is_the_same() -> None:
    """Value by value and column by column, null and false being values; beside a changed split as well."""
    lemmas = ["米", "弾く", "豚腹", "肉"]
    old = Split("米|弾く|豚バラ|肉", features={"lemma": lemmas, "pron": [None, "ハジク", None, None]})
    new = Split(
        "米|弾く|豚|バラ肉",
        features={
            "lemma": ["米", "弾く-爪", "豚", "薔薇肉"],
            "pron": ["コメ", None, None, None],
            "is_unknown": [True, False, False, True],
        },
    )
    found = compare_tokens(split_rows([Split("無"), old]), split_rows([Split("無"), new]), FEATURES)
    assert {name: table.to_pylist() for name, table in found.features.items()} == {
        "lemma": [{"surface": "弾く", "old": "弾く", "new": "弾く-爪", "row": 1, "start": 1}],
        "pron": [
            {"surface": "米", "old": None, "new": "コメ", "row": 1, "start": 0},
            {"surface": "弾く", "old": "ハジク", "new": None, "row": 1, "start": 1},
        ],
        "is_unknown": [{"surface": "米", "old": False, "new": True, "row": 1, "start": 0}],
    }
    assert found.splits.to_pylist() == [{"old": ["豚バラ", "肉"], "new": ["豚", "バラ肉"], "row": 1, "start": 3}]
    assert found.rows.tolist() == [False, True]


def test_sentences_are_compared_by_code_points() -> None:
    """A sentence that begins elsewhere changes the text; one whose tokens were only counted anew does not."""
    old = [Split("肉|。|卵|。", sentence_start=(0, 2)), Split("豚肉|。|卵", sentence_start=(0, 2))]
    new = [Split("肉|。|卵|。", sentence_start=(0,)), Split("豚|肉|。|卵", sentence_start=(0, 3))]
    found = compare_tokens(split_rows(old), split_rows(new), FEATURES)
    assert found.sentence_rows.tolist() == [True, False]
    assert found.rows.tolist() == [True, True]


def test_one_side_may_have_no_tokens_at_all() -> None:
    """Texts without tokens on either side, and tables without rows."""
    nothing: dict[str, list[Any]] = {"surface": [], "start": [], "sentence_start": []}
    some, none = split_rows([Split("肉|卵")]), split_rows([Split("肉|卵", features=nothing)])
    assert compare_tokens(some, none, ()).splits.to_pylist() == [
        {"old": ["肉"], "new": [], "row": 0, "start": 0},
        {"old": ["卵"], "new": [], "row": 0, "start": 1},
    ]
    assert len(compare_tokens(none, some, ()).splits) == 2
    assert len(compare_tokens(some.slice(0, 0), none.slice(0, 0), FEATURES).rows) == 0


def test_a_null_list_is_a_list_of_nulls() -> None:
    """A column that a row has no values for differs from one that has them, token by token."""
    old, new = (Split("肉|卵", features={"pron": values}) for values in (None, ["ニク", None]))
    rows = split_rows([Split("米"), old, Split("米")]), split_rows([Split("米"), new, Split("米")])
    assert compare_tokens(*rows, FEATURES).features["pron"].to_pylist() == [
        {"surface": "肉", "old": None, "new": "ニク", "row": 1, "start": 0}
    ]


@pytest.mark.parametrize(
    "features", [{"lemma": ["肉"]}, {"sentence_start": [2]}, {"surface": ["肉"]}], ids=lambda each: next(iter(each))
)
def test_damaged_rows_are_told(features: dict[str, list[Any]]) -> None:
    """Lists of different lengths are a fault of the data, not a bug."""
    damaged: pa.Table = split_rows([Split("肉|卵", features=features)])
    with pytest.raises(DataError, match=f"'{next(iter(features))}' .*damaged"):
        compare_tokens(split_rows([Split("肉|卵")]), damaged, FEATURES)
