"""The bytes of Arrow's strings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def joined_bytes(strings: pa.StringArray) -> memoryview:
    """The UTF-8 of all strings, one after another, not copied; there must be no nulls."""
    offsets, values = strings.buffers()[1:]
    if values is None or not len(strings):
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)[strings.offset :]
    # Arrow's buffers are of signed bytes, which never equal those of a ``bytes`` beyond ASCII.
    return memoryview(values).cast("B")[ends[0] : ends[len(strings)]]
