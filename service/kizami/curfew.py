"""The curfew: a process that a signal has asked to stop is gone in time, whatever it hangs in.

Python calls a signal's handler in the main thread, between two of its own instructions. One that hangs in somebody's C
code, a request to a store that does not answer, say, never comes to it. The signal's number goes into a pipe all the
same, and at once; here a thread of its own waits for it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import TracebackType

from kizami.log import last_word


@dataclass(frozen=True, slots=True)
class Farewell:
    """What a process says when it is ended, and its exit code."""

    message: str
    exit_code: int
    error: str = "InterruptedRunError"
    """Name of the error, for programs."""


class Curfew:
    """While this context lasts, in the main thread: a process that gets one of ``signals`` is ended some seconds later.

    ``note`` is told of the signal at once, in another thread; ``farewell`` gives the last word.
    """

    def __init__(
        self,
        signals: Collection[int],
        note: Callable[[int], None],
        farewell: Callable[[int], Farewell],
        *,
        seconds: float,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._signals, self._note, self._farewell = signals, note, farewell
        self._leave, self._seconds = leave, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="kizami-curfew", daemon=True)

    def __enter__(self) -> Curfew:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._before)
        self._over.set()
        os.close(self._writing)  # the end of what the thread reads
        self._thread.join()
        os.close(self._reading)

    def _watch(self) -> None:
        while number := os.read(self._reading, 1):
            if number[0] in self._signals:
                self._note(number[0])
                if not self._over.wait(self._seconds):
                    self._end(number[0])
                return

    def _end(self, number: int) -> None:
        code = 128 + number
        try:
            farewell = self._farewell(number)
            code = farewell.exit_code
            last_word(farewell.error, farewell.message, code)
        finally:
            self._leave(code)
