"""The watchdog: an analyser in this process that may end it, but never hangs it."""

from __future__ import annotations

import faulthandler
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kizami.analysis.analyser import Analysis
from kizami.analysis.contract import TextAnalyser
from kizami.errors import KizamiError

SLOWEST_RATE: Final = 20_000
"""Code points a second that the slowest host is granted: a tenth of what the usual loop over MeCab's nodes does."""

_STDERR: Final = 2


class AnalyserFaultError(Exception):
    """The analyser raised what nobody foresaw. The message says what and where, and does not quote the texts."""


class WatchedAnalyser:
    """Another analyser, under a time limit that costs it nothing.

    When the limit passes, the process ends at once with exit code 1 and the stack of its threads on stderr: a hang
    inside MeCab holds the interpreter's lock, so nobody within the process could be told.
    """

    def __init__(self, analyser: TextAnalyser, hang_after_seconds: float) -> None:
        self._analyser = analyser
        self._hang_after_seconds = hang_after_seconds

    def analyse(self, texts: Sequence[str]) -> Analysis:
        """Tokens of ``texts``. Raises AnalyserFaultError for any error that is not Kizami's own or lack of memory."""
        # Not sys.stderr: what stands in its place may have no file descriptor.
        faulthandler.dump_traceback_later(time_allowed(texts, self._hang_after_seconds), exit=True, file=_STDERR)
        try:
            return self._analyser.analyse(texts)
        except (KizamiError, MemoryError):
            raise
        except Exception as error:
            raise AnalyserFaultError(fault_of(error)) from error
        finally:
            faulthandler.cancel_dump_traceback_later()


def time_allowed(texts: Sequence[str], hang_after_seconds: float) -> float:
    """Seconds that the analysis of ``texts`` may take before it counts as hanging."""
    return hang_after_seconds + sum(map(len, texts)) / SLOWEST_RATE


def fault_of(error: Exception) -> str:
    """What the analyser raised and where, without the error's message, which may quote a text."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"the analyser raised {type(error).__name__} ({Path(place.filename).name}, line {place.lineno})"
