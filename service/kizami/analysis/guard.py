"""The guard: an analyser in a process of its own, so that a text that kills it takes nothing else with it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from types import TracebackType
from typing import Any, Final

import pyarrow as pa

from kizami.analysis.analyser import Analysis
from kizami.analysis.contract import TextAnalyser
from kizami.analysis.watchdog import fault_of, time_allowed
from kizami.encoded import PLAIN_TOKENS, TOKENS
from kizami.errors import DataError, KizamiError, UnavailableError

FAULTS_AT_MOST: Final = 50
"""Texts of one part that may go wrong on their own. Each costs seconds or minutes: with many more a run would not end,
and MeCab or the host is at fault, not the texts."""

_START_SECONDS: Final = 120.0
"""Python, Arrow and the dictionary load in a second from a warm disk; from a network folder they take their time."""
_STARTS: Final = 3
_END_SECONDS: Final = 30.0
"""From the end of the child's connection to its exit code: the system may write a core file in between."""
_TABLES_AT_ONCE: Final = 500
"""Tables of one row that are kept before they are put together: each takes some 27 KB, however short its text."""
_PR_SET_PDEATHSIG: Final = 1

# Not `-m`: the module would be there twice. Not multiprocessing's spawn: it imports the main module, here Ray's worker.
_BOOT: Final = (
    "import sys; sys.path[:] = sys.argv[3:]; from kizami.analysis.guard import serve; "
    "serve(int(sys.argv[1]), int(sys.argv[2]))"
)
_NO_TOKENS: Final = pa.Table.from_pylist([{name: [] for name in TOKENS.names}], schema=TOKENS)


class GuardedAnalyser:
    """An analyser that outlives its texts. The first batch starts its child; leaving the context ends it.

    A batch that crashes the child, makes it raise or takes too long is analysed again text by text. A text becomes a
    failure when that happens to it on its own twice, the second time as the first text of a new child and after the
    texts around it: neither an operator's ``kill`` nor a moment without memory is held against a sound text.
    """

    def __init__(self, make: Callable[[], TextAnalyser], hang_after_seconds: float) -> None:
        """``make`` is pickled and called in the child."""
        self._make = make
        self._hang_after_seconds = hang_after_seconds
        self._child: _Child | None = None
        self._faults = 0

    def __enter__(self) -> GuardedAnalyser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_child()

    def analyse(self, texts: Sequence[str]) -> Analysis:
        """Tokens of ``texts``. Raises DataError when over ``FAULTS_AT_MOST`` texts have gone wrong on their own,
        UnavailableError when no child can be started, and whatever error of Kizami's the analyser raises."""
        answer = self._ask(texts)
        return answer if isinstance(answer, Analysis) else self._analyse_singly(texts)

    def _analyse_singly(self, texts: Sequence[str]) -> Analysis:
        tables = []
        failures: dict[int, str] = {}
        for start in range(0, len(texts), _TABLES_AT_ONCE):
            some = texts[start : start + _TABLES_AT_ONCE]
            answers = [self._ask_single(text) for text in some]
            for index, text in enumerate(some):
                if isinstance(answers[index], str):
                    self._end_child()
                    answers[index] = self._ask([text])
            for index, answer in enumerate(answers, start):
                if isinstance(answer, str):
                    failures[index] = answer
                else:
                    failures.update((index, message) for message in answer.failures.values())
            rows = [_NO_TOKENS if isinstance(answer, str) else answer.tokens for answer in answers]
            # Made plain, because Arrow cannot make one dictionary of several that hold null.
            plain = pa.concat_tables([row.cast(PLAIN_TOKENS) for row in rows]).combine_chunks()
            tables.append(plain.cast(TOKENS))
        return Analysis(pa.concat_tables(tables), failures)

    def _ask_single(self, text: str) -> Analysis | str:
        answer = self._ask([text])
        if isinstance(answer, str):
            self._faults += 1
            if self._faults > FAULTS_AT_MOST:
                raise DataError(
                    f"over {FAULTS_AT_MOST} texts of one part went wrong on host {socket.gethostname()}, the last one "
                    f"with: {answer}; if other hosts analyse them, repair that one, else take them out of the source"
                )
        return answer

    def _ask(self, texts: Sequence[str]) -> Analysis | str:
        """The child's analysis, or what became of it."""
        child = self._child = self._child or self._start_child()
        try:
            answer = child.ask(texts, time_allowed(texts, self._hang_after_seconds))
        except _ChildLostError as lost:
            self._end_child()
            return str(lost)
        if isinstance(answer, KizamiError):
            raise answer
        analysis: Analysis | str = answer
        return analysis

    def _start_child(self) -> _Child:
        failed = ""
        for _ in range(_STARTS):
            try:
                child = _Child()
            except OSError as error:  # no process or no memory to be had
                failed = f"{type(error).__name__}: {error.strerror}"
                continue
            try:
                refused = child.ask(self._make, _START_SECONDS)
            except _ChildLostError as lost:
                child.end()
                failed = str(lost)
                continue
            if refused is None:
                return child
            child.end()
            raise refused
        raise UnavailableError(
            f"no process for the analyser could be started on host {socket.gethostname()} ({failed}): see to its "
            "memory and its number of processes, and start the run again"
        )

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _ChildLostError(Exception):
    """The child died or did not answer in time; the message says which."""


class _Child:
    """A process that serves one analyser."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            channel = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(channel), str(os.getpid()), *sys.path],
                pass_fds=[channel],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # the Ctrl-C of a terminal is meant for the run
            )

    def ask(self, question: object, seconds: float) -> Any:
        """Its answer. Raises _ChildLostError; the child is of no use then."""
        try:
            self._connection.send(question)
            if self._connection.poll(seconds):
                return self._connection.recv()
        except (EOFError, OSError):
            raise _ChildLostError(self._death()) from None
        raise _ChildLostError(f"MeCab did not finish within {seconds:.0f} s")

    def end(self) -> None:
        """End the process, whatever it does."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _death(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        code = self._process.returncode
        if code is None:
            return "MeCab's process broke off its connection"
        if code >= 0:
            return f"MeCab ended its process with exit code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"MeCab was killed ({name})" if -code == signal.SIGKILL else f"MeCab crashed ({name})"


def serve(channel: int, parent: int) -> None:
    """The child's side: make the analyser that the first message asks for, then answer each list of texts.

    It ends with its parent: when the connection does, or, in the middle of a text, by a signal.
    """
    _die_with(parent)
    connection: Connection = Connection(channel)
    with suppress(EOFError, ConnectionError):
        try:
            analyser: TextAnalyser = connection.recv()()
        except KizamiError as error:
            connection.send(error)
            return
        connection.send(None)
        while True:
            connection.send(_answer(analyser, connection.recv()))


def _answer(analyser: TextAnalyser, texts: Sequence[str]) -> Analysis | KizamiError | str:
    try:
        return analyser.analyse(texts)
    except KizamiError as error:
        return error
    except Exception as error:  # whatever it is, it is this batch's alone
        return fault_of(error)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` ends; systems other than Linux let it finish its texts."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before that
            raise SystemExit(1)
