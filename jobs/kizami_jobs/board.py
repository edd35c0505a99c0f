"""The board: workers tell on it how far their parts are, and the driver looks."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ray.exceptions import RayError

# Not public. An actor could do the same, but is a process more, which takes over half a second of a core to start and
# goes on taking from the workers.
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_list, _internal_kv_put

from kizami.part_builder import Done

_NAMESPACE: Final = "kizami"


@dataclass(frozen=True, slots=True)
class Board:
    """The board of a run, in the cluster's own key-value store."""

    run: str

    def tell(self, part: int, done: Done) -> None:
        """Note that ``part`` is being worked at, and how much of it is done."""
        with suppress(RayError):  # no reason to give up the part
            _internal_kv_put(self._key(part), json.dumps([done.texts, done.documents]), namespace=_NAMESPACE)

    def told(self) -> dict[int, Done]:
        """What was told last of each part that was not wiped."""
        found = {}
        for key in _internal_kv_list(self._prefix, namespace=_NAMESPACE):
            if value := _internal_kv_get(key, namespace=_NAMESPACE):
                found[int(key.decode().removeprefix(self._prefix))] = Done(*json.loads(value))
        return found

    def wipe(self, part: int) -> None:
        """Forget what was told of ``part``: nobody works at it any more."""
        _internal_kv_del(self._key(part), namespace=_NAMESPACE)

    def clear(self) -> None:
        """Forget all that was told, where the cluster still answers."""
        with suppress(RayError):
            _internal_kv_del(self._prefix, del_by_prefix=True, namespace=_NAMESPACE)

    @property
    def _prefix(self) -> str:
        return f"{self.run}/part/"

    def _key(self, part: int) -> str:
        return f"{self._prefix}{part}"


class Standing:
    """How far the parts under way are, and since when each is worked at. A part that is tried again starts from its
    beginning."""

    def __init__(self) -> None:
        self._done: dict[int, Done] = {}
        self._begun: dict[int, float] = {}

    def update(self, told: dict[int, Done], under_way: Collection[int]) -> None:
        """Take in what the board says. A worker that was given up may still tell of a part that nobody waits for."""
        self._done = {part: done for part, done in told.items() if part in under_way}
        now = time.monotonic()
        self._begun = {part: self._begun.get(part, now) for part in self._done}

    @property
    def done(self) -> Done:
        """In all parts under way."""
        return Done.of_all(self._done.values())

    @property
    def slowest(self) -> int | None:
        """The part that has been worked at for longest; None where there is none."""
        return min(self._begun, key=self._begun.__getitem__, default=None)

    @property
    def seconds(self) -> float:
        """For how long it has been."""
        return time.monotonic() - min(self._begun.values()) if self._begun else 0.0
