"""The progress of a run as JSON lines, for programs."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Final, TextIO

from kizami.ledger import RunEntry
from kizami.log import EventStream, JsonLog
from kizami.part_builder import Done
from kizami_jobs.progress import Progress

EVERY_DOCUMENTS: Final = 10_000


class JsonProgress(Progress):
    """Events ``start``, ``message``, ``warning``, ``progress`` every 10,000 documents, and ``end``."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__(quiet=True)
        self._log = log
        self._began = time.monotonic()

    @property
    def others(self) -> TextIO:
        """Where Ray may print."""
        return EventStream(self._log)  # type: ignore[return-value]  # a text stream in all that is used of it

    def say(self, line: str) -> None:
        """One line of news."""
        self._log.event("message", message=line)

    def warn(self, line: str) -> None:
        """One line that somebody should see."""
        self._log.event("warning", "warning", message=line)

    def begin(self, entry: RunEntry, parameters: dict[str, Any]) -> None:
        """A run begins."""
        self._began = time.monotonic()
        names = ("run", "verb", "corpus", "date", "started_at", "process")
        what = {name: getattr(entry, name) for name in names}
        self._log.event("start", **what, parameters=parameters, versions=dict(entry.versions))

    def finish(self, entry: RunEntry) -> None:
        """It has ended, in whatever way."""
        names = (
            "run",
            "verb",
            "corpus",
            "date",
            "state",
            "stage",
            "exit_code",
            "snapshot",
            "fingerprint",
            "late_since",
        )
        self._log.event(
            "end",
            "info" if entry.exit_code == 0 else "error",
            **{name: getattr(entry, name) for name in names},
            error=asdict(entry.error) if entry.error else None,
            counts=asdict(entry.counts),
            failed_attempts=len(entry.failed_attempts),
            stage_seconds=dict(entry.stage_seconds),
            duration_ms=round(1000 * (time.monotonic() - self._began)),
        )

    def advance(self, done: Done) -> None:
        """So much is done by now: a line if that is 10,000 documents more, or several times as many at once."""
        if done.documents // EVERY_DOCUMENTS > self._done.documents // EVERY_DOCUMENTS:
            seconds = max(time.monotonic() - self._started, 1e-3)
            self._log.event(
                "progress",
                documents=done.documents,
                documents_total=self._total.documents,
                texts=done.texts,
                texts_total=self._total.texts,
                texts_per_second=round(done.texts / seconds, 1),
            )
        self._done = done
