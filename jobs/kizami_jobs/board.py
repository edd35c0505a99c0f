"""The board: workers tell on it how far their parts are, and the driver looks.

It is in the cluster's own key-value store. An actor could do the same, but is a process more, which takes over half a
second of a core to start and goes on taking from the workers.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from ray.exceptions import RayError
from ray.experimental import internal_kv

from kizami.part_builder import Done

_NAMESPACE: Final = b"kizami-board"


class Attempt(NamedTuple):
    """One attempt at a part."""

    part: int
    number: int
    """How many there were before it."""


@dataclass(frozen=True, slots=True)
class Board:
    """The board of a run. Its methods wait for the cluster's control service."""

    run: str

    def tell(self, attempt: Attempt, done: Done) -> None:
        """Note that an attempt is under way, and how much of its part is done."""
        value = json.dumps([done.texts, done.documents])
        with suppress(RayError):  # no reason to give up the part
            internal_kv._internal_kv_put(self._key(attempt), value, namespace=_NAMESPACE)

    def told(self) -> dict[Attempt, Done]:
        """What was told last of each attempt that was not wiped."""
        found = {}
        for key in internal_kv._internal_kv_list(self._prefix, namespace=_NAMESPACE):
            if value := internal_kv._internal_kv_get(key, namespace=_NAMESPACE):
                part, number = key.decode().removeprefix(self._prefix).split(".")
                found[Attempt(int(part), int(number))] = Done(*json.loads(value))
        return found

    def wipe(self, attempt: Attempt) -> None:
        """Forget what was told of an attempt that has ended."""
        internal_kv._internal_kv_del(self._key(attempt), namespace=_NAMESPACE)

    def clear(self) -> None:
        """Forget all that was told so far, where the cluster still answers. A worker that is only now being ended may
        tell once more: some 60 bytes, without any text, stay in the cluster."""
        with suppress(RayError):
            internal_kv._internal_kv_del(self._prefix, del_by_prefix=True, namespace=_NAMESPACE)

    @property
    def _prefix(self) -> str:
        return f"{self.run}:"

    def _key(self, attempt: Attempt) -> str:
        return f"{self._prefix}{attempt.part}.{attempt.number}"


class Standing:
    """How far the attempts under way are, and since when each is."""

    def __init__(self) -> None:
        self._done: dict[Attempt, Done] = {}
        self._begun: dict[Attempt, float] = {}

    def update(self, told: dict[Attempt, Done], under_way: Collection[Attempt], now: float) -> None:
        """Take in what the board says at ``now``, seconds of a clock. A worker that was given up may still tell of an
        attempt that nobody waits for."""
        self._done = {attempt: done for attempt, done in told.items() if attempt in under_way}
        self._begun = {attempt: self._begun.get(attempt, now) for attempt in self._done}

    @property
    def done(self) -> Done:
        """In all parts under way."""
        return Done.of_all(self._done.values())

    def overdue(self, limit_seconds: float, now: float) -> int | None:
        """The part that has been worked at for longest, if that is longer than the limit."""
        slowest = min(self._begun, key=self._begun.__getitem__, default=None)
        return slowest.part if slowest and now - self._begun[slowest] > limit_seconds else None
