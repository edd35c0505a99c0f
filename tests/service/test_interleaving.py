"""Rows of several tables of tokens in one order: the same as if it were done row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kizami import interleaving
from kizami.encoded import PLAIN_TOKENS, STRING_COLUMNS, TOKENS
from kizami.interleaving import Picked, interleaved

_ROW = st.lists(st.tuples(st.sampled_from(["卵", "だし", "*", ""]) | st.none(), st.integers(0, 9)), max_size=4)
_TABLE = st.lists(_ROW, max_size=5)


def _table(rows: list[list[tuple[str | None, int]]]) -> pa.Table:
    columns: dict[str, Any] = {name: [[value for value, _ in row] for row in rows] for name in STRING_COLUMNS}
    columns |= {
        "sentence_start": [[number for _, number in row[::2]] for row in rows],
        "start": [[number for _, number in row] for row in rows],
        "is_unknown": [[number > 4 for _, number in row] for row in rows],
    }
    return pa.Table.from_pydict(columns, schema=PLAIN_TOKENS).cast(TOKENS).combine_chunks()


@given(st.lists(_TABLE, min_size=1, max_size=4), st.data(), st.booleans())
def test_every_row_is_where_it_was_asked_for(tables: list[Any], data: st.DataObject, by_runs: bool) -> None:
    """Rows picked from any table, some several times, stand in the order asked for, nulls included; whether elements
    are copied one by one or run by run. No value stands twice in a dictionary, and in one that goes on all occur."""
    rows = [(number, row) for number, table in enumerate(tables) for row in range(len(table))]
    order = data.draw(st.lists(st.sampled_from(rows), max_size=12)) if rows else []
    picked = []
    for number, table in enumerate(tables):
        at = [place for place, (own, _) in enumerate(order) if own == number]
        own_rows = np.array([order[place][1] for place in at], np.int64)
        is_ordered = bool(table) and data.draw(st.booleans())
        # Unless it is a row group, a slice, as batches are cut from larger tables.
        own = _table(table) if is_ordered else _table([[("切", 0)], *table]).slice(1)
        picked.append(Picked(own, own_rows, np.array(at, np.int64), is_ordered=is_ordered))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interleaving, "_SHORT_RUN", 0 if by_runs else 1 << 30)
        made = interleaved(picked, len(order))
    found = made.tokens
    assert found.schema.equals(TOKENS)
    found.validate(full=True)
    assert found.cast(PLAIN_TOKENS).to_pylist() == _table([tables[number][row] for number, row in order]).to_pylist()
    for name in STRING_COLUMNS:
        values = found[name].chunk(0).flatten()
        assert len(values.dictionary.unique()) == len(values.dictionary) - values.dictionary.null_count
        assert not made.is_ordered or values.dictionary.sort().equals(
            values.dictionary_decode().unique().drop_null().sort()
        )


_LARGE = [("卵", 1), ("酢", 2), ("卵", 3), (None, 4), ("だし", 5), ("酢", 6)]


@pytest.mark.parametrize("others", [1, 2])
def test_the_dictionaries_of_a_row_group_go_on_where_most_tokens_are_of_it(others: int) -> None:
    """Three of four tokens are most; their codes stay what they were, and what is new has those behind them."""
    small = _table([[("塩", 1), ("酢", 2)]] * others)
    picked = [
        Picked(small, np.arange(others), np.arange(others)),
        Picked(_table([_LARGE]), np.array([0]), np.array([others]), is_ordered=True),
    ]
    made = interleaved(picked, others + 1)
    surfaces = made.tokens["surface"].chunk(0).flatten()
    assert made.is_ordered == (others == 1)
    assert surfaces.dictionary.to_pylist() == (
        ["卵", "酢", "だし", "塩"] if others == 1 else ["塩", "酢", "卵", "だし"]
    )
    assert surfaces[-6:].to_pylist() == [value for value, _ in _LARGE]
    assert surfaces.indices[-6:].to_pylist() == ([0, 1, 0, None, 2, 1] if others == 1 else [2, 1, 2, None, 3, 1])


@pytest.mark.parametrize("soon", [0, 2, 100])
def test_values_of_rows_left_out_are_gone_unless_they_are_elsewhere(soon: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the rows that stay, near or far, or in the new ones; nulls stay where they are."""
    monkeypatch.setattr(interleaving, "_SOON", soon)
    left_out = [("甲", 1), ("卵", 2), ("酢", 3), ("乙", 4), (None, 5)]
    large = _table([[("鯛", 9)], left_out, _LARGE])
    picked = [
        Picked(large, np.array([2, 0]), np.array([0, 2]), is_ordered=True),
        Picked(_table([[("乙", 1)]]), np.array([0]), np.array([1])),
    ]
    made = interleaved(picked, 3)
    surfaces = made.tokens["surface"].chunk(0).flatten()
    assert made.is_ordered
    assert surfaces.dictionary.to_pylist() == ["鯛", "卵", "酢", "乙", "だし"]
    assert surfaces.to_pylist() == [*(value for value, _ in _LARGE), "乙", "鯛"]
