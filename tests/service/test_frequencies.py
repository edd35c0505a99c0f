"""The most frequent keys, and what is said when memory did not suffice for all."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kizami.frequencies import Frequencies, Frequent


def test_counts_are_exact_while_all_keys_are_remembered() -> None:
    """Equally frequent keys come in the order asked for; the first example is kept."""
    frequencies: Frequencies[str, int] = Frequencies(2)
    for number, word in enumerate(["肉", "卵", "肉", "豚", "卵", "米"]):
        frequencies.add(word, 1, number)
    assert frequencies.most_frequent(3, lambda key: key) == [
        Frequent("卵", 2, 1),
        Frequent("肉", 2, 0),
        Frequent("米", 1, 5),
    ]
    assert (frequencies.total, len(frequencies), frequencies.undercount) == (6, 4, 0)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), max_size=200), st.integers(1, 8))
def test_a_forgetful_count_says_how_far_it_may_be_off(additions: list[tuple[int, int]], capacity: int) -> None:
    """Never too high, too low by no more than is said, never more keys than twice the capacity, the total exact."""
    frequencies: Frequencies[int, None] = Frequencies(capacity)
    exact: Counter[int] = Counter()
    for key, count in additions:
        frequencies.add(key, count, None)
        exact[key] += count
    assert len(frequencies) <= 2 * capacity
    assert frequencies.total == exact.total()
    found = {each.key: each.count for each in frequencies.most_frequent(100, lambda key: key)}
    for key, count in exact.items():
        assert count - frequencies.undercount <= found.get(key, 0) <= count
    if frequencies.undercount == 0:
        assert found == exact
