"""The guard: a text that kills its process is told apart from all others, and only if it does so on its own, twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from kizami.analysis import guard
from kizami.analysis.analyser import Analyser, Analysis, bundled_analyser
from kizami.analysis.dictionary import bundled_dictionary
from kizami.analysis.guard import FAULTS_AT_MOST, GuardedAnalyser
from kizami.analysis.shown import Normalisation
from kizami.encoded import PLAIN_TOKENS
from kizami.errors import ConfigurationError, DataError, UnavailableError
from support.planted import (
    CRASH,
    EXIT,
    FLEETING,
    HANG,
    OWN_FAILURE,
    RAISE,
    REFUSE,
    SLEEP,
    PlantedAnalyser,
    crash_at_start,
    refuse_at_start,
)

SOUND = ["肉じゃが", "", "だし巻き卵を焼く。召し上がれ！", "　", "👩‍👩‍👧‍👦のﾊﾟｰﾃｨｰ🍣"]
HANG_AFTER = 3.0


def _analyse(texts: list[str], make: Callable[[], PlantedAnalyser] = PlantedAnalyser) -> Analysis:
    with GuardedAnalyser(make, HANG_AFTER) as analyser:
        return analyser.analyse(texts)


def _assert_only_failures(analysis: Analysis, texts: list[str], failures: dict[int, str]) -> None:
    """These texts failed and have no tokens; all others have those of the analyser itself."""
    assert analysis.failures == failures
    sound = ["" if index in failures else text for index, text in enumerate(texts)]
    assert analysis.tokens.cast(PLAIN_TOKENS).equals(bundled_analyser().analyse(sound).tokens.cast(PLAIN_TOKENS))


@pytest.mark.parametrize("normalisation", Normalisation)
def test_sound_texts_have_the_tokens_of_the_analyser_itself(normalisation: Normalisation) -> None:
    """Nothing changes on the way from the child, whatever the normalisation."""
    make = partial(Analyser, bundled_dictionary(), normalisation)
    with GuardedAnalyser(make, HANG_AFTER) as analyser:
        analysis = analyser.analyse(SOUND)
        assert analyser.analyse([]).tokens.num_rows == 0
    assert analysis.failures == {}
    assert analysis.tokens.cast(PLAIN_TOKENS).equals(make().analyse(SOUND).tokens.cast(PLAIN_TOKENS))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        pytest.param(CRASH, "MeCab crashed (SIGSEGV)", id="crash"),
        pytest.param(EXIT, "MeCab ended its process with exit code 3", id="exit"),
        pytest.param(HANG, "MeCab did not finish within 3 s", id="hang in C"),
        pytest.param(SLEEP, "MeCab did not finish within 3 s", id="sleep"),
    ],
)
def test_a_text_that_ends_the_process_fails_alone(word: str, message: str) -> None:
    """It keeps its place without tokens, its failure says what it did without quoting it; the others are analysed."""
    texts = [*SOUND, f"{word}する鍋", *SOUND]
    started = time.monotonic()
    _assert_only_failures(_analyse(texts), texts, {len(SOUND): message})
    assert time.monotonic() - started < 20 * HANG_AFTER


def test_a_text_that_makes_the_analyser_raise_fails_alone() -> None:
    """The failure names the error and its place in the code, not the error's message, which quotes the text."""
    texts = [*SOUND, f"{RAISE}の鍋"]
    analysis = _analyse(texts)
    message = analysis.failures[len(SOUND)]
    assert message.startswith("the analyser raised ValueError (planted.py, line ")
    assert RAISE not in message
    _assert_only_failures(analysis, texts, {len(SOUND): message})


def test_failures_of_every_kind_keep_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """The analyser's own failures among them, however few texts are put together at a time."""
    monkeypatch.setattr(guard, "_TABLES_AT_ONCE", 3)
    texts = [CRASH, *SOUND, OWN_FAILURE, EXIT, *SOUND, CRASH]
    crashed = "MeCab crashed (SIGSEGV)"
    own, left = "MeCab dropped a part of the text", "MeCab ended its process with exit code 3"
    _assert_only_failures(_analyse(texts), texts, {0: crashed, 6: own, 7: left, 13: crashed})


def test_the_next_batch_finds_a_new_process() -> None:
    """After a failure the guard goes on."""
    with GuardedAnalyser(PlantedAnalyser, HANG_AFTER) as analyser:
        analyser.analyse([CRASH])
        _assert_only_failures(analyser.analyse(SOUND), SOUND, {})


@pytest.mark.parametrize(("deaths", "at_fault"), [(1, False), (2, False), (3, True)])
def test_a_process_killed_from_outside_is_not_held_against_a_sound_text(
    tmp_path: Path, deaths: int, at_fault: bool
) -> None:
    """With its batch and once on its own, a text may lose its process; the second time on its own it is at fault."""
    left = tmp_path / "deaths"
    left.write_bytes(b"x" * deaths)
    texts = [*SOUND, f"{FLEETING}の鍋", *SOUND]
    analysis = _analyse(texts, partial(PlantedAnalyser, left))
    assert left.read_bytes() == b""
    _assert_only_failures(analysis, texts, {len(SOUND): "MeCab was killed (SIGKILL)"} if at_fault else {})


def test_an_error_of_kizami_is_no_fault_of_a_text() -> None:
    """It comes out of the child as it is, from a text as from the start."""
    with pytest.raises(ConfigurationError, match="the analyser refuses"):
        _analyse([*SOUND, REFUSE])
    with pytest.raises(ConfigurationError, match="no dictionary here"):
        _analyse(SOUND, refuse_at_start)


def test_a_process_that_does_not_start_is_no_fault_of_a_text() -> None:
    """After some attempts the host is out of order, and the message says what happened on it."""
    with pytest.raises(UnavailableError, match=r"no process for the analyser .*crashed \(SIGSEGV\)"):
        _analyse(SOUND, crash_at_start)


def test_texts_that_all_fail_end_the_run() -> None:
    """With more failures than a part may have, the analyser is broken; waiting for each text would take hours."""
    with pytest.raises(DataError, match=f"over {FAULTS_AT_MOST} texts"):
        _analyse([RAISE] * (FAULTS_AT_MOST + 1))
    assert len(_analyse([RAISE] * 3 + SOUND).failures) == 3


def test_no_process_before_the_first_batch_and_none_after_the_last() -> None:
    """A part found finished costs no child, and leaving the context ends the one there is, even in the middle."""
    own = psutil.Process()
    before = set(own.children())
    with GuardedAnalyser(PlantedAnalyser, HANG_AFTER) as analyser:
        assert set(own.children()) == before
        analyser.analyse(SOUND)
        assert len(set(own.children()) - before) == 1
    assert set(own.children()) == before


@pytest.mark.parametrize("word", [HANG, SLEEP])
def test_the_child_ends_with_its_parent(word: str) -> None:
    """kill -9 of the parent ends the child, though it hangs and looks at nothing."""
    code = (
        "from kizami.analysis.guard import GuardedAnalyser; from support.planted import PlantedAnalyser\n"
        f"GuardedAnalyser(PlantedAnalyser, 600).analyse(['{word}'])"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"]
    with subprocess.Popen(command) as parent:
        try:
            child = _await_busy_child(parent.pid)
        finally:
            parent.send_signal(signal.SIGKILL)
    try:
        assert psutil.wait_procs([child], timeout=10)[1] == []
    finally:
        if child.is_running():
            child.kill()


def _await_busy_child(parent: int) -> psutil.Process:
    """The one child of a process, once it has loaded the dictionary and got its text."""
    for _ in range(300):
        time.sleep(0.1)
        for child in psutil.Process(parent).children():
            if any("sys.dic" in each.path for each in child.memory_maps()):
                time.sleep(1)
                return child
    raise TimeoutError("no child")
