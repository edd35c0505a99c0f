"""What a person sees of a run: a bar on a terminal, plain lines elsewhere. On stderr."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final, TextIO

from tqdm import tqdm

from kizami.ledger import RunEntry
from kizami.part_builder import Done

LINE_EVERY_SECONDS: Final = 15.0


class Progress:
    """Stages as lines; texts done, rate and time left as a bar or as a line now and then."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._bar: tqdm[Any] | None = None
        self._total = self._done = Done()
        self._started = self._spoken = 0.0

    def say(self, line: str) -> None:
        """One line of news."""
        if not self._quiet:
            tqdm.write(line, file=self._stream)

    def warn(self, line: str) -> None:
        """One line that somebody should see."""
        self.say(line)

    def begin(self, entry: RunEntry, parameters: dict[str, Any]) -> None:
        """A run begins; what it does is said in lines."""

    def finish(self, entry: RunEntry) -> None:
        """It has ended, in whatever way; what came of it is the command's answer."""

    @property
    def others(self) -> TextIO:
        """Where Ray may print what it has to say."""
        return sys.stderr

    def start_texts(self, total: Done) -> None:
        """Begin to count up to ``total``."""
        self._total, self._done = total, Done()
        self._started = self._spoken = time.monotonic()
        if not self._quiet and self._stream.isatty():
            # A terminal that does not tell its width (under `script`, in some CI) would get a bar of width 0.
            known = os.get_terminal_size(self._stream.fileno()).columns > 0
            self._bar = tqdm(
                total=total.texts,
                unit=" texts",
                unit_scale=True,
                file=self._stream,
                dynamic_ncols=known,
                ncols=None if known else 80,
            )

    def advance(self, done: Done) -> None:
        """So much is done by now."""
        if self._bar is not None:
            self._bar.update(done.texts - self._done.texts)
        elif time.monotonic() - self._spoken >= LINE_EVERY_SECONDS:
            self._spoken = time.monotonic()
            self.say(self._line(done.texts))
        self._done = done

    def end_texts(self) -> None:
        """All texts are done, or the run ends."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, done: int) -> str:
        rate = done / (time.monotonic() - self._started)
        total = self._total.texts
        left = f"{(total - done) / rate:,.0f} s left" if rate else "time left unknown"
        return f"{done:,} of {total:,} texts, {rate:,.0f} texts/s, {left}"
