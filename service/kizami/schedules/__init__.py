"""Schedules: the daily job as files that people know, for systemd, cron and Kubernetes. Values in, text out."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from kizami.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Schedule:
    """When and how a corpus is made every day."""

    corpus: str
    command: tuple[str, ...]
    """Program and arguments; nothing in it is quoted or escaped."""
    at: dt.time
    zone: str
    """Name of the time zone that ``at`` is in, which is that of the business date."""
    timeout_seconds: int
    """Afterwards it is asked to stop: a run, or the waiting for one that was submitted."""
    jitter_seconds: int = 0
    """How much later than ``at`` it may begin, so that not all of a site begin at once."""

    def __post_init__(self) -> None:
        if self.jitter_seconds >= self.seconds_of_day:
            raise ConfigurationError(
                f"at {self.at:%H:%M} with {self.jitter_seconds} s of jitter the run may begin on the next day, and "
                "make that day's snapshot: choose an earlier time or less jitter"
            )
        if any(character < " " or character == "\x7f" for word in self.command for character in word):
            raise ConfigurationError("a path with a control character in it cannot be written into a schedule")

    @property
    def seconds_of_day(self) -> int:
        """From ``at`` to midnight: a run that begins within them makes the snapshot of the day."""
        return 86400 - self.at.hour * 3600 - self.at.minute * 60

    @property
    def submits(self) -> bool:
        """Whether the run is made on a cluster, and what is started here only waits for it."""
        return self.command[1:2] == ("submit",)

    @property
    def description(self) -> str:
        """What it is, in a few words."""
        return f"Kizami: the daily snapshot of {self.corpus}"
