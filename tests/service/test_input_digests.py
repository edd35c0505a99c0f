"""Input digests: sums modulo 2**256, part by part, against Python's own numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kizami.input_digests import add_up, no_digests, to_hex

_RECORDS = st.lists(
    st.tuples(st.binary(min_size=32, max_size=32) | st.just(b"\xff" * 32), st.integers(0, 4)), max_size=60
)


@given(_RECORDS, st.integers(0, 60))
def test_sums_are_those_of_whole_numbers(records: list[tuple[bytes, int]], cut: int) -> None:
    """Digests in two blocks, cut anywhere, add up to the numbers that Python's integers give, carries included."""
    total = no_digests(5)
    for block in (records[:cut], records[cut:]):
        digests = np.frombuffer(b"".join(digest for digest, _ in block), np.uint8).reshape(-1, 32)
        total += add_up(digests, np.array([part for _, part in block], np.intp), 5)
    expected = [
        sum(int.from_bytes(digest, "big") for digest, own in records if own == part) % (1 << 256) for part in range(5)
    ]
    assert to_hex(total) == [f"{number:064x}" for number in expected]


def test_many_digests_lose_no_bit() -> None:
    """Over a million of the largest digests in one part still add up exactly."""
    count = (1 << 20) + 3
    digests = np.full((count, 32), 255, np.uint8)
    found = to_hex(add_up(digests, np.zeros(count, np.intp), 1))
    assert found == [f"{count * ((1 << 256) - 1) % (1 << 256):064x}"]
