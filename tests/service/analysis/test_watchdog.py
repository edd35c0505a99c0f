"""The watchdog: a hang ends the process, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from kizami.analysis.analyser import bundled_analyser
from kizami.analysis.watchdog import SLOWEST_RATE, AnalyserFaultError, WatchedAnalyser, time_allowed
from kizami.encoded import PLAIN_TOKENS
from kizami.errors import ConfigurationError
from support.planted import HANG, RAISE, REFUSE, SLEEP, PlantedAnalyser

SOUND = ["肉じゃが", "", "だし巻き卵を焼く。"]


def _run(code: str) -> subprocess.CompletedProcess[str]:
    header = (
        f"import sys, time; sys.path[:] = {sys.path!r}\n"
        "from kizami.analysis.watchdog import WatchedAnalyser; from support.planted import PlantedAnalyser\n"
        "analyser = WatchedAnalyser(PlantedAnalyser(), 1.0)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", header + code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("word", [HANG, SLEEP])
def test_a_text_that_makes_the_analyser_hang_ends_the_process(word: str) -> None:
    """Even where it holds the interpreter's lock; stderr says where it hung and does not quote the text."""
    started = time.monotonic()
    done = _run(f"analyser.analyse(['卵焼き', '{word}の鍋'])\nprint('went on')")
    assert (done.returncode, done.stdout) == (1, "")
    assert time.monotonic() - started < 30
    assert "in _misbehave" in done.stderr
    assert word not in done.stderr


def test_the_watchdog_sleeps_between_batches() -> None:
    """What comes after a batch, or after an error of the analyser, may take its time."""
    done = _run(
        "analyser.analyse(['卵焼き'])\n"
        f"try:\n    analyser.analyse(['{RAISE}'])\nexcept Exception:\n    time.sleep(2.5)\n"
        "print('went on')"
    )
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr


def test_sound_texts_have_the_tokens_of_the_analyser_itself() -> None:
    """The watchdog changes nothing."""
    watched = WatchedAnalyser(bundled_analyser(), 60)
    assert (
        watched.analyse(SOUND)
        .tokens.cast(PLAIN_TOKENS)
        .equals(bundled_analyser().analyse(SOUND).tokens.cast(PLAIN_TOKENS))
    )


def test_an_error_that_nobody_foresaw_is_told_without_the_text() -> None:
    """It comes out as the analyser's fault, so that texts can be tried one by one; Kizami's own come as they are."""
    watched = WatchedAnalyser(PlantedAnalyser(), 60)
    with pytest.raises(AnalyserFaultError, match=r"^the analyser raised ValueError \(planted.py, line \d+\)$"):
        watched.analyse([f"{RAISE}の鍋"])
    with pytest.raises(ConfigurationError, match="the analyser refuses"):
        watched.analyse([REFUSE])


def test_long_texts_have_more_time() -> None:
    """Sixteen MiB in one text are not a hang."""
    assert time_allowed([], 100) == time_allowed([""], 100) == 100
    assert time_allowed(["あ" * SLOWEST_RATE, "い" * SLOWEST_RATE], 100) == 102
