"""The standard streams of a command: a log that cannot be written costs the log, never the run."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Unfailing(io.FileIO):
    """A file that takes everything, and loses what it cannot keep: its disk is full, or nobody reads any more."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def secure() -> None:
    """Let stderr never fail; where a command was started without stdout or stderr, let it have one that goes nowhere.

    What stands in their place already, as in a test, is left alone.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # else print() would take the other one
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # stays open
    stderr = sys.stderr
    if stderr is sys.__stderr__ and isinstance(stderr, io.TextIOWrapper):
        raw = io.BufferedWriter(_Unfailing(stderr.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(raw, stderr.encoding, stderr.errors, line_buffering=True, write_through=True)
