"""Which keys are the most frequent, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

Key = TypeVar("Key")
Example = TypeVar("Example")

CAPACITY: Final = 20_000
"""Keys that survive when there are too many: some megabytes, and far more than anybody reads."""


@dataclass(frozen=True, slots=True)
class Frequent(Generic[Key, Example]):
    """One key, how often it was counted, and where it was first met."""

    key: Key
    count: int
    example: Example


class Frequencies(Generic[Key, Example]):
    """Counts keys. Beyond twice its capacity it forgets the rarest, and then says how far its counts may be low."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._counts: dict[Key, int] = {}
        self._examples: dict[Key, Example] = {}
        self.total = 0
        """Of all keys, the forgotten ones included."""
        self.undercount = 0
        """By how much a count may be too low at the most; 0 while nothing was forgotten."""

    def __len__(self) -> int:
        """Keys that are remembered: all there were while ``undercount`` is 0."""
        return len(self._counts)

    def add(self, key: Key, count: int, example: Example) -> None:
        """Count a key ``count`` times more. The first example of a key is kept."""
        self.total += count
        if key not in self._counts:
            if len(self._counts) >= 2 * self._capacity:
                self._forget()
            self._counts[key] = 0
            self._examples[key] = example
        self._counts[key] += count

    def most_frequent(self, limit: int, order: Callable[[Key], Any]) -> list[Frequent[Key, Example]]:
        """The ``limit`` most frequent keys, equally frequent ones by ``order``."""
        ranked = sorted(self._counts, key=lambda key: (-self._counts[key], order(key)))
        return [Frequent(key, self._counts[key], self._examples[key]) for key in ranked[:limit]]

    def _forget(self) -> None:
        ranked = sorted(self._counts, key=self._counts.__getitem__, reverse=True)
        # A key that comes back starts from 0: each time it may have lost what the most frequent forgotten one had.
        self.undercount += self._counts[ranked[self._capacity]]
        for key in ranked[self._capacity :]:
            del self._counts[key], self._examples[key]
