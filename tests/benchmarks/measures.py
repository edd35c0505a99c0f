"""Measures: the figures the project holds itself to, each with its target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from benchmarks.samples import Spread


class Unit(StrEnum):
    """How a figure is written."""

    TIMES = "times"
    PERCENT = "percent"
    MEGABYTES = "megabytes"

    def written(self, value: float) -> str:
        """A value as a reader sees it."""
        if self is Unit.PERCENT:
            return f"{value * 100:.1f} %"
        if self is Unit.MEGABYTES:
            return f"{value / 1e6:,.0f} MB"
        return f"{value:,.0f}×" if value >= 100 else f"{value:.1f}×" if value >= 10 else f"{value:.2f}×"


@dataclass(frozen=True, slots=True)
class Target:
    """What a measure should reach."""

    unit: Unit
    bound: float
    aim: float | None = None
    """Better than the bound, hoped for."""
    at_most: bool = False

    def written(self) -> str:
        """The target as a reader sees it."""
        sign = "≤" if self.at_most else "≥"
        return " / ".join(sign + self.unit.written(value) for value in (self.bound, self.aim) if value is not None)

    def meets(self, value: float, bound: float) -> bool:
        """Whether ``value`` is on the right side of ``bound``."""
        return value <= bound if self.at_most else value >= bound


TARGETS: Final[Mapping[str, Target]] = {
    "mecab": Target(Unit.TIMES, 0.45, aim=0.7),
    "team": Target(Unit.TIMES, 5, aim=8),
    "menus_mecab": Target(Unit.TIMES, 1),
    "two_workers": Target(Unit.TIMES, 1.9),
    "overhead": Target(Unit.PERCENT, 0.15, at_most=True),
    "worker_memory": Target(Unit.MEGABYTES, 600e6, at_most=True),
    "worker_memory_growth": Target(Unit.PERCENT, 0.05, at_most=True),
    "snapshot_size": Target(Unit.TIMES, 2.5, aim=2, at_most=True),
    "reading_team": Target(Unit.TIMES, 200),
    "reading_kizami": Target(Unit.TIMES, 200),
    "unchanged": Target(Unit.PERCENT, 0.04, at_most=True),
    "newest": Target(Unit.PERCENT, 0.06, at_most=True),
    "anywhere": Target(Unit.PERCENT, 0.35, aim=0.25, at_most=True),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One measured figure beside its target."""

    name: str
    """A key of TARGETS."""
    value: Spread

    @property
    def target(self) -> Target:
        """What it should be."""
        return TARGETS[self.name]

    @property
    def reached(self) -> bool:
        """Whether the median meets the target."""
        return self.target.meets(self.value.median, self.target.bound)

    @property
    def aim_reached(self) -> bool:
        """Whether the median meets what was aimed for beyond the target; without such an aim, no."""
        return self.target.aim is not None and self.target.meets(self.value.median, self.target.aim)

    def record(self) -> dict[str, Any]:
        """The measure as JSON has it."""
        target = {name: value for name, value in asdict(self.target).items() if value is not None}
        return {
            "name": self.name,
            "value": asdict(self.value),
            "target": target,
            "reached": self.reached,
            "aim_reached": self.aim_reached,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Measure:
        """The measure from its JSON; its target is today's."""
        return cls(record["name"], Spread(**record["value"]))
