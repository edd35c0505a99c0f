"""SIGINT, SIGTERM and SIGHUP: noted when they come, acted on where the run can stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ClassVar, Final

from kizami.curfew import Curfew, Farewell
from kizami.errors import InterruptedRunError

_SLICE_SECONDS: Final = 0.5


def _heard() -> list[signal.Signals]:
    """The signals that ask a process to stop. Under nohup it is not to hear that its terminal is gone."""
    is_deaf = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if is_deaf else [signal.SIGHUP])]


def _without_a_word(number: int) -> Farewell:
    error = InterruptedRunError(number)
    return Farewell(f"{error} (it did not stop by itself, and was ended)", error.exit_code)


class Interruption:
    """The signal that asks a run to stop, if one came.

    An exception raised in a signal handler would surface anywhere, in the middle of a commit or of Ray's own C code; so
    the handler only takes a note, and the run looks at it twice a second.
    """

    curfew_seconds: ClassVar[float] = 25.0
    """After a signal. With what is left to be said the process is out within 30 s."""
    farewell: Callable[[int], Farewell]
    """What is said of a process that has not stopped by itself when the curfew comes, by the signal's number."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self.forget()

    def forget(self) -> None:
        """There is nothing in particular to say at the curfew."""
        self.farewell = _without_a_word

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of these signals, and see to it that the process ends in time after one. Outside the main thread,
        where Python delivers none, do nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        heard = _heard()
        previous = {number: signal.signal(number, self._note) for number in heard}
        try:
            with Curfew(heard, self._take_note, self._last_word, seconds=self.curfew_seconds):
                yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @property
    def error(self) -> InterruptedRunError | None:
        """What to raise if a signal came."""
        return None if self._signal is None else InterruptedRunError(self._signal)

    def check(self) -> None:
        """Raise InterruptedRunError if a signal came."""
        if (error := self.error) is not None:
            raise error

    def sleep(self, seconds: float) -> None:
        """Sleep, unless a signal comes: then raise InterruptedRunError."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _SLICE_SECONDS))
        self.check()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._take_note(number)

    def _last_word(self, number: int) -> Farewell:
        return self.farewell(number)  # that of the moment

    def _take_note(self, number: int) -> None:
        self._signal = number
