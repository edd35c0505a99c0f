"""Digests of what was read: sums of its records' digests, which no order and no cut into files or blocks changes."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

MODULUS: Final = 1 << 256


def digest_sum(digests: npt.NDArray[np.uint8]) -> int:
    """Sum of digests, shape (records, 32), as big-endian numbers, modulo 2**256."""
    total = 0
    for byte in digests.sum(axis=0, dtype=np.uint64).tolist():
        total = (total << 8) + byte
    return total % MODULUS
