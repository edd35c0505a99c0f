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
    are copied one by one or run by run."""
    rows = [(number, row) for number, table in enumerate(tables) for row in range(len(table))]
    order = data.draw(st.lists(st.sampled_from(rows), max_size=12)) if rows else []
    picked = []
    for number, table in enumerate(tables):
        at = [place for place, (own, _) in enumerate(order) if own == number]
        own_rows = np.array([order[place][1] for place in at], np.int64)
        # A slice, as row groups and batches are cut from larger tables.
        cut = _table([[("切", 0)], *table]).slice(1)
        picked.append(Picked(cut, own_rows, np.array(at, np.int64), is_ordered=data.draw(st.booleans())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interleaving, "_SHORT_RUN", 0 if by_runs else 1 << 30)
        made = interleaved(picked, len(order))
    found = made.tokens
    assert found.schema.equals(TOKENS)
    found.validate(full=True)
    assert found.cast(PLAIN_TOKENS).to_pylist() == _table([tables[number][row] for number, row in order]).to_pylist()
    for name in STRING_COLUMNS:
        dictionary = found[name].chunk(0).flatten().dictionary
        assert len(dictionary.unique()) == len(dictionary) - dictionary.null_count


@pytest.mark.parametrize(
    ("others", "was_ordered", "is_ordered"), [(1, True, True), (2, True, False), (1, False, False)]
)
def test_dictionaries_begin_with_those_of_the_table_that_most_tokens_are_of(
    others: int, was_ordered: bool, is_ordered: bool
) -> None:
    """Three of four tokens are most; the codes of that table stay what they were, and are ordered if they were."""
    small = _table([[("塩", 1), ("酢", 2)]] * others)
    large = _table([[("卵", 1), ("酢", 2), ("卵", 3), (None, 4), ("だし", 5), ("酢", 6)]])
    picked = [
        Picked(small, np.arange(others), np.arange(others)),
        Picked(large, np.array([0], np.int64), np.array([others], np.int64), is_ordered=was_ordered),
    ]
    made = interleaved(picked, others + 1)
    surfaces = made.tokens["surface"].chunk(0).flatten()
    assert made.is_ordered == is_ordered
    assert surfaces.dictionary.to_pylist() == ["卵", "酢", "だし", "塩"]
    assert surfaces.indices[-6:].to_pylist() == [0, 1, 0, None, 2, 1]
