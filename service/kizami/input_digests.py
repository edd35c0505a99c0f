"""Input digests: what the records of a source add up to, part by part, whatever their files and their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

Limbs = npt.NDArray[np.uint64]
"""Sums of digests, shape (parts, 8): 32 bits each and the most significant first, their carries not yet passed on.

Limbs of several sums may be added up, some billions of them, before a number is made of them.
"""

_LIMBS: Final = 8
_MODULUS: Final = 1 << 256
_AT_ONCE: Final = 1 << 20
"""Digests added up at once: the sum of a limb of theirs is below 2**53, so that a float64 holds it."""


def no_digests(parts: int) -> Limbs:
    """The sums of nothing."""
    return np.zeros((parts, _LIMBS), np.uint64)


def add_up(digests: npt.NDArray[np.uint8], numbers: npt.NDArray[np.intp], parts: int) -> Limbs:
    """The sum of the digests of each part.

    ``digests`` has shape (records, 32), each a big-endian number; ``numbers`` is the part of each record.
    """
    sums = no_digests(parts)
    limbs = np.ascontiguousarray(digests).view(">u4")
    for start in range(0, len(limbs), _AT_ONCE):
        own = slice(start, start + _AT_ONCE)
        for limb in range(_LIMBS):
            sums[:, limb] += np.bincount(numbers[own], limbs[own, limb], parts).astype(np.uint64)
    return sums


def to_numbers(sums: Limbs) -> list[int]:
    """The sums modulo 2**256."""
    return [_number(row) for row in sums.tolist()]


def to_hex(sums: Limbs) -> list[str]:
    """The sums modulo 2**256 as 64 hex digits each."""
    return [f"{number:064x}" for number in to_numbers(sums)]


def _number(limbs: Iterable[int]) -> int:
    number = 0
    for limb in limbs:
        number = (number << 32) + limb
    return number % _MODULUS
