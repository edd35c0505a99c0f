"""Rows of schema v1 made by counting, not by analysing: as many as a test of files needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kizami_schemas import v1


def token_rows(tokens: Sequence[int] | npt.NDArray[np.int64], *, first: int = 0) -> pa.Table:
    """One row for each number of tokens, ids ascending from ``first``; every token is 寿, without pos4 and pron."""
    counts = np.asarray(tokens, np.int64)
    ends = np.cumsum(counts)
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    total = int(ends[-1]) if len(ends) else 0
    within = np.arange(total) - np.repeat(ends - counts, counts)

    def lists(values: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, values)

    word, nothing = pa.array(["寿"] * total, pa.string()), pa.nulls(total, pa.string())
    columns: dict[str, pa.Array] = {name: lists(word) for name in v1.TOKEN_COLUMNS}
    columns |= {
        "doc_id": pa.array([f"doc-{number:08d}" for number in range(first, first + len(counts))], pa.string()),
        "field": pa.array(["steps"] * len(counts), pa.string()),
        "position": pa.array(np.zeros(len(counts), np.int32)),
        "text": pa.array(["寿" * int(count) for count in counts], pa.string()),
        "text_hash": pa.array([f"{number:032x}" for number in range(first, first + len(counts))], pa.string()),
        "sentence_start": pa.array([[0] if count else [] for count in counts], pa.list_(pa.int32())),
        "start": lists(pa.array(within.astype(np.int32))),
        "pos4": lists(nothing),
        "pron": lists(nothing),
        "is_unknown": lists(pa.array(within % 2 == 0)),
    }
    return pa.Table.from_arrays([columns[name] for name in v1.SCHEMA.names], schema=v1.SCHEMA)
