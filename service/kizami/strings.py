"""The bytes of Arrow's strings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from kizami.runs import run_offsets


def joined_bytes(strings: pa.StringArray) -> memoryview:
    """The UTF-8 of all strings, one after another, not copied; there must be no nulls."""
    offsets, values = strings.buffers()[1:]
    if values is None or not len(strings):
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)[strings.offset :]
    # Arrow's buffers are of signed bytes, which never equal those of a ``bytes`` beyond ASCII.
    return memoryview(values).cast("B")[ends[0] : ends[len(strings)]]


def strings_of(values: Sequence[bytes]) -> pa.StringArray:
    """An array of strings, given as UTF-8 of less than 2 GiB in all; neither is checked."""
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    data = pa.py_buffer(b"".join(values))
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(run_offsets(lengths)), data, null_count=0)
