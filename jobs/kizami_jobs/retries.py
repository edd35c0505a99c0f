"""Which failures of a task another attempt may change, and how long to wait before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)

from kizami.analysis.watchdog import AnalyserFaultError
from kizami.errors import LastingError, UnavailableError
from kizami.ledger import FailedAttempt

_BACKOFF_SECONDS: Final = (1.0, 3.0, 9.0)
"""Before the second attempt, the third, the fourth: what ails a store or a host is seldom over at once."""
ATTEMPTS: Final = 1 + len(_BACKOFF_SECONDS)
"""At one part. A text that ends its worker takes two of them; the rest is for workers that die of something else."""
LOSSES: Final[Mapping[type[Exception], str]] = {
    WorkerCrashedError: "its worker died",
    OutOfMemoryError: "its worker was ended for lack of memory on its host",
    NodeDiedError: "its host died",
    ObjectLostError: "its data were lost with a host",
    RaySystemError: "no worker could be started or reached",
}
"""What Ray says of an attempt that did not fail by its own doing."""


OnLoss = Callable[[FailedAttempt], None]
Item = TypeVar("Item")


class PutOff(Generic[Item]):
    """What is to be tried again, each after a while of its own."""

    def __init__(self) -> None:
        self._items: list[tuple[float, Item]] = []

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, item: Item, seconds: float) -> None:
        """Put off by so many seconds."""
        self._items.append((time.monotonic() + seconds, item))

    def due(self) -> list[Item]:
        """Those whose time has come; they are not put off any more."""
        now = time.monotonic()
        found = [item for due, item in self._items if due <= now]
        self._items = [each for each in self._items if each[0] > now]
        return found


def retry(error: Exception, attempts: int) -> tuple[str, float] | None:
    """Whether to try again after so many attempts, the last of which ended with ``error``: what became of it, and for
    how many seconds to put the next off. None where the task itself failed, where another attempt would find the same,
    or where there were enough.

    A text that ends MeCab is met at once, by a guarded attempt; a worker, host or object that is lost and a store that
    does not answer after a while.
    """
    if attempts >= ATTEMPTS:
        return None
    wait_seconds = _BACKOFF_SECONDS[attempts - 1]
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, AnalyserFaultError):
        return str(cause), 0.0
    if isinstance(cause, UnavailableError):
        return None if isinstance(cause, LastingError) else (str(cause), wait_seconds)
    loss = next((words for kind, words in LOSSES.items() if isinstance(cause, kind)), None)
    return None if loss is None else (loss, wait_seconds)


def trying_again(failed: FailedAttempt, attempts: int) -> str:
    """That another attempt is made after so many, in a line."""
    wait = f" after {failed.wait_seconds:g} s" if failed.wait_seconds else ""
    return f"attempt {attempts} of {ATTEMPTS}: {failed.what}; trying it again{wait}"
