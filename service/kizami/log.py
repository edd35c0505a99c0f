"""Logs for programs: one JSON object a line on stderr, never a text of a corpus, never a secret."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from typing import Any, Final, TextIO

_SAYING_SECONDS: Final = 2.0
_SECRET: Final = re.compile(r"[?&][^=&/]*(?:key|secret|token|passw|credential|signature)[^=&/]*=", re.IGNORECASE)
"""In a URL, as where it was signed beforehand or as other programs take it."""


def without_credentials(url: str) -> str:
    """A URL without what stands before an ``@`` in its first part, which may be a secret, and without its parameters
    where one of them is named like a secret."""
    shown = re.sub(r"^([A-Za-z0-9+.-]+://)[^/]*@", r"\1", url)
    return shown.partition("?")[0] if "://" in shown and _SECRET.search(shown) else shown


class JsonLog:
    """Writes events as JSON Lines: ``time``, ``level``, ``event``, and what belongs to the event."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def event(self, name: str, level: str = "info", **members: Any) -> None:
        """One line, flushed at once."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        # Escapes where the stream's encoding lacks the characters: what a program reads has to stay JSON.
        ascii_only = not (getattr(self._stream, "encoding", None) or "").lower().startswith("utf")
        line = json.dumps({"time": moment, "level": level, "event": name, **members}, ensure_ascii=ascii_only)
        self._stream.write(line + "\n")
        self._stream.flush()

    def passed_on(self, line: str) -> None:
        """A line that somebody else has written: as it is where it is a JSON object, else as an event of its own."""
        try:
            is_object = isinstance(json.loads(line), dict)
        except ValueError:
            is_object = False
        if is_object:
            self._stream.write(line + "\n")
            self._stream.flush()
        elif line.strip():
            self.event("output", message=line)


class EventHandler(logging.Handler):
    """Python's own log records as events."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        self.log.event("log", record.levelname.lower(), logger=record.name, message=record.getMessage())


def last_word(error: str, message: str, exit_code: int) -> None:
    """Say why the process ends, on stderr and in its form, from whatever thread ends it. Waits for nobody who does not
    read."""

    def say() -> None:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, EventHandler):
                handler.log.event("error", "error", error=error, message=message, exit_code=exit_code)
                return
        print(f"kizami: {message}", file=sys.stderr, flush=True)

    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    saying.join(_SAYING_SECONDS)


class EventStream(io.TextIOBase):
    """A text stream, each whole line of which becomes an event."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__()
        self._log = log
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log.passed_on(line)
        return len(text)
