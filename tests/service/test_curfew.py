"""The curfew: after a signal a process is gone in time, whatever it hangs in, and says so."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from threading import Event

import pytest

from kizami.curfew import Curfew, Farewell

HANGS_IN_C = """
import ctypes, signal
from kizami.curfew import Curfew, Farewell
signal.signal(signal.SIGTERM, lambda *_: None)
lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
with Curfew({signal.SIGTERM}, lambda number: print("noted", number, flush=True),
            lambda number: Farewell("the store was not told", 143), seconds=0.2):
    print("hangs", flush=True)
    lock(mutex), lock(mutex)
"""


class Leaving:
    """What would end the process, and what is noted before."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.noted: list[int] = []
        self.left = Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.left.set()


@pytest.fixture
def handled() -> Iterator[list[int]]:
    """The signals that Python's own handlers were called for."""
    called: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: called.append(number))
        for number in (signal.SIGTERM, signal.SIGUSR1)
    }
    yield called
    for number, handler in before.items():
        signal.signal(number, handler)


def curfew(leaving: Leaving, seconds: float) -> Curfew:
    """One of this process."""
    return Curfew(
        {signal.SIGTERM, signal.SIGINT}, leaving.noted.append, lambda number: Farewell(f"after {number}", 69),
        leave=leaving, seconds=seconds,
    )  # fmt: skip


def test_a_process_that_does_not_stop_is_ended(handled: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    """With the last word and the code that it is given then; other signals are none of its business."""
    leaving = Leaving()
    with curfew(leaving, 0.01):
        signal.raise_signal(signal.SIGUSR1)
        assert not leaving.left.wait(0.2)
        signal.raise_signal(signal.SIGTERM)
        assert leaving.left.wait(20)
    assert (leaving.noted, leaving.codes) == ([15], [69])
    assert handled == [signal.SIGUSR1, signal.SIGTERM]
    assert capsys.readouterr().err == "kizami: after 15\n"


def test_a_process_that_stops_in_time_is_left_alone(handled: list[int]) -> None:
    """With a signal and without one; what was woken by signals before is again."""
    leaving = Leaving()
    with curfew(leaving, 60):
        signal.raise_signal(signal.SIGTERM)
    with curfew(leaving, 0.01):
        pass
    assert leaving.codes == []
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # that is the test
def test_a_last_word_that_fails_ends_it_all_the_same(handled: list[int]) -> None:
    """With the signal's own code."""
    leaving = Leaving()

    def farewell(_number: int) -> Farewell:
        leaving.noted.append(0)
        raise ValueError

    with Curfew({signal.SIGTERM}, leaving.noted.append, farewell, leave=leaving, seconds=0.01):
        signal.raise_signal(signal.SIGTERM)
        assert leaving.left.wait(20)
    assert (leaving.noted, leaving.codes) == ([15, 0], [143])


@pytest.mark.skipif(sys.platform != "linux", reason="hangs in a mutex of Linux's C library")
def test_a_process_that_hangs_in_c_code_is_ended() -> None:
    """Where Python's own handler is not called any more."""
    with subprocess.Popen(
        [sys.executable, "-c", HANGS_IN_C], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"hangs\n"
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (143, b"noted 15\n", b"kizami: the store was not told\n")
