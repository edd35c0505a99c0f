"""How long a run may take: a limit that ends it, and an expectation that makes it late."""

from __future__ import annotations

import time
from collections.abc import Callable

from kizami.errors import DeadlineError


class Deadline:
    """The clock of one run, which starts when this is made."""

    def __init__(
        self,
        limit_seconds: float | None = None,
        expected_seconds: float | None = None,
        *,
        on_late: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_late`` is told once, in a line, when the expected time has passed."""
        self._limit, self._expected = limit_seconds, expected_seconds
        self._on_late, self._clock = on_late, clock
        self._started = clock()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._started

    @property
    def error(self) -> DeadlineError | None:
        """What to raise now that the limit has passed; None before."""
        if self._limit is None or self.seconds <= self._limit:
            return None
        return DeadlineError(
            f"the run took longer than its time_limit, {duration(self._limit)}: nothing was published; what is "
            "finished is taken over when it is started again; raise the limit if that is not enough"
        )

    def check(self) -> None:
        """Tell of a passed expectation, once. Raises DeadlineError past the limit."""
        if self._expected is not None and self.seconds > self._expected:
            expected, self._expected = self._expected, None
            self._on_late(f"late: the run takes longer than its expected_time, {duration(expected)}")
        if (error := self.error) is not None:
            raise error


def duration(seconds: float) -> str:
    """A duration as the configuration writes it: ``90s``, ``30m``, ``6h``."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
