"""SIGINT and SIGTERM: an error of their own while a run works, nothing at all while it commits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from kizami.errors import InterruptedRunError

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_Handler = Callable[[int, FrameType | None], None]


def _stop(number: int, _frame: FrameType | None) -> None:
    raise InterruptedRunError(number)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass


@contextmanager
def signals_stop() -> Iterator[None]:
    """SIGINT and SIGTERM raise InterruptedRunError, so that the run records its end and gives the lock back."""
    with _handled(_stop):
        yield


@contextmanager
def signals_wait() -> Iterator[None]:
    """SIGINT and SIGTERM change nothing: what runs here takes a moment, and half of it would tell a lie."""
    with _handled(_ignore):
        yield


@contextmanager
def _handled(handler: _Handler) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return
    previous = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
