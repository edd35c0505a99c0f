"""An analyser with planted failures: texts that hold certain words crash it, make it hang or make it raise."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from kizami.analysis.analyser import Analysis, bundled_analyser
from kizami.errors import ConfigurationError

CRASH, EXIT, HANG, SLEEP, RAISE, REFUSE = "墜落", "退場", "無限", "居眠り", "例外", "拒否"
FLEETING = "突然死"
"""Kills the process as often as ``PlantedAnalyser.deaths`` says, then no more."""
OWN_FAILURE = "欠落"


class PlantedAnalyser:
    """The analyser, but for texts with one of the words."""

    def __init__(self, deaths: Path | None = None) -> None:
        """``deaths`` is a file with as many bytes as the process is to die of ``FLEETING``."""
        self._real = bundled_analyser()
        self._deaths = deaths

    def analyse(self, texts: Sequence[str]) -> Analysis:
        """Tokens of texts, or the planted failure of the first text that has one."""
        for text in texts:
            self._misbehave(text)
        failures = {
            index: "MeCab dropped a part of the text" for index, text in enumerate(texts) if OWN_FAILURE in text
        }
        shown = ["" if index in failures else text for index, text in enumerate(texts)]
        return Analysis(self._real.analyse(shown).tokens, failures)

    def _misbehave(self, text: str) -> None:
        if CRASH in text:
            os.kill(os.getpid(), signal.SIGSEGV)
        if EXIT in text:
            os._exit(3)
        if HANG in text:
            # For ages, in C, holding the interpreter's lock: no other thread of the process has its turn.
            re.match(r"(a|a)*b", "a" * 64)
        if SLEEP in text:
            time.sleep(3600)
        if RAISE in text:
            raise ValueError(text)
        if REFUSE in text:
            raise ConfigurationError("the analyser refuses")
        if FLEETING in text and self._deaths and (left := self._deaths.read_bytes()):
            self._deaths.write_bytes(left[1:])
            os.kill(os.getpid(), signal.SIGKILL)


def crash_at_start() -> PlantedAnalyser:
    """Never gives an analyser."""
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def refuse_at_start() -> PlantedAnalyser:
    """Never gives an analyser, and says why."""
    raise ConfigurationError("no dictionary here")
