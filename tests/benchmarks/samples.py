"""Samples: the same thing measured several times."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some measurements, and how far they lie apart."""

    minimum: float
    median: float
    maximum: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """The spread of one value at least."""
        found = list(values)
        return cls(min(found), statistics.median(found), max(found), len(found))


def ratios(numerators: Iterable[float], denominators: Iterable[float]) -> Spread:
    """The spread of the ratios of what was measured in the same round: a busy moment of the machine hits both."""
    return Spread.of(above / below for above, below in zip(numerators, denominators, strict=True))
