"""The last resort: an end for a run that is to stop and cannot, because its main thread hangs in somebody's code.

A run looks for signals, limits and its lock twice a second, wherever it waits for Ray. What it cannot see to is a call
that does not come back: a cluster that has stopped to answer, an object whose host is gone. A scheduler would kill it
in the end, without a word in the ledger and, if it has it still, with the lock left to expire.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType

from kizami.errors import KizamiError
from kizami.ledger import RunEntry
from kizami.log import last_word
from kizami.undertaking import Undertaking

GRACE_SECONDS = 15.0
"""For the run to stop by itself. With the two writes that are left it is out within 30 s of a signal."""
_LOOK_SECONDS = 0.5
_TELLING_SECONDS = 10.0


class LastResort:
    """While this context lasts: if ``cause`` gives an error for as long as the grace, close the ledger's entry with it,
    give the lock back and end the process at once.

    Never in the middle of a commit, which the store's own time limits end.
    """

    def __init__(
        self,
        held: Undertaking,
        cause: Callable[[], KizamiError | None],
        *,
        announce: Callable[[RunEntry], None] = lambda _entry: None,
        leave: Callable[[int], None] = os._exit,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._held, self._cause, self._announce, self._leave = held, cause, announce, leave
        self._grace = grace_seconds
        self._over = threading.Event()
        self._acting = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="kizami-last-resort", daemon=True)

    def __enter__(self) -> LastResort:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with self._acting:  # it is the other thread's turn until the process ends
            pass

    def _watch(self) -> None:
        while self._cause() is None:
            if self._over.wait(_LOOK_SECONDS):
                return
        while not self._over.wait(self._grace):
            with self._acting:
                if not self._over.is_set() and not self._is_publishing():
                    self._act()
                    return

    def _is_publishing(self) -> bool:
        entry = self._held.record.entry
        return entry.stage == "publish" and entry.ended_at is None

    def _act(self) -> None:
        error, record = self._cause(), self._held.record
        if error is None:
            return
        try:
            self._held.lease.hurry()
            record.fail(error)
            self._held.lease.release()
            # A webhook and a store may take long, each: what is not told now is told by whoever comes next.
            telling = threading.Thread(target=self._announce, args=(record.entry,), daemon=True)
            telling.start()
            telling.join(_TELLING_SECONDS)
            words = [f"{error} (it did not stop by itself)", self._held.undone]
            last_word(type(error).__name__, "; ".join(filter(None, words)), self._code(error))
        finally:
            self._leave(self._code(error))

    def _code(self, error: KizamiError) -> int:
        own = self._held.record.entry.exit_code
        return error.exit_code if own is None else own
