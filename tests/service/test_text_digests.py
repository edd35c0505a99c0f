"""The hashes of texts: the same for short and long ones, alone and among equal ones, and open to change."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kizami.texts import hex_digits, text_digests, text_hash

SHORT = ["卵を割る。", "", "卵を割る。", "塩"]
LONG = ["卵を割って混ぜる。" * 40, "", "卵を割って混ぜる。" * 40, "塩を振る。" * 90]


@pytest.mark.parametrize("texts", [[], SHORT, LONG], ids=["none", "short", "long"])
def test_each_digest_is_that_of_its_text(texts: list[str]) -> None:
    """Of a slice, too, and however long they are: long ones are hashed each, of short ones equal ones once."""
    found = text_digests(pa.array(["前", *texts], pa.string())[1:])
    assert found.shape == (len(texts), 16)
    assert hex_digits(found).to_pylist() == [text_hash(text.encode()) for text in texts]
    found[:] = 0  # as those of a document with a fault
    assert not np.any(found)
