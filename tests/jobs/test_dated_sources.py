"""Dumps of a date: waited for, one that is not there yet told from an empty one."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kizami.config import load_config
from kizami.signals import Interruption
from kizami_jobs.waiting import await_source
from support.job import configuration, kizami
from support.kitchen import recipes, write_jsonl
from support.store_contents import ledger


def dated(folder: Path) -> Path:
    """A configuration whose source has the date in it."""
    return configuration(folder, store="./store", source="./dumps/dt={date}/")


@pytest.mark.ray
def test_a_dump_that_is_not_there_yet_exits_69(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is its own outcome, in the answer and the ledger; an empty dump is another, and so is one of another date."""
    config = dated(tmp_path)
    code, answer, _ = kizami(capsys, "run", "recipes", "--config", config, "--date", "2026-11-27")
    assert (code, answer["error"]) == (69, "NotThereYetError")
    assert "dt=2026-11-27/ is not there yet" in answer["message"]
    entry = ledger(str(tmp_path / "store"))[0]
    assert entry.error is not None
    assert (entry.error.name, entry.stage) == ("NotThereYetError", "source")  # not "lock": it has that
    write_jsonl(tmp_path / "dumps" / "dt=2026-11-27" / "a.jsonl", [])
    assert kizami(capsys, "run", "recipes", "--config", config, "--date", "2026-11-27")[0] == 65
    write_jsonl(tmp_path / "dumps" / "dt=2026-11-26" / "a.jsonl", recipes(3))
    code, answer, _ = kizami(capsys, "run", "recipes", "--config", config, "--date", "2026-11-26")
    assert (code, answer["snapshot"]["date"]) == (0, "2026-11-26")


@pytest.mark.ray
def test_a_dump_is_waited_for(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes while the run waits, which holds no lock and has no entry in the ledger meanwhile."""
    monkeypatch.setattr("kizami_jobs.waiting._FIRST_SECONDS", 0.2)
    config = dated(tmp_path)
    before: list[bool] = []

    def arrive() -> None:
        time.sleep(1)
        before.append((tmp_path / "store").exists())
        write_jsonl(tmp_path / "part.jsonl", recipes(3))
        (tmp_path / "dumps" / "dt=2026-11-27").mkdir(parents=True)
        (tmp_path / "part.jsonl").rename(tmp_path / "dumps" / "dt=2026-11-27" / "a.jsonl")

    thread = threading.Thread(target=arrive)
    thread.start()
    code, answer, err = kizami(capsys, "run", "recipes", "--config", config, "--date", "2026-11-27", "--wait", "2m")
    thread.join()
    assert (code, answer["run"]["counts"]["documents"]) == (0, 3)
    assert "not there yet; looking again in" in err
    assert before == [False]


@pytest.mark.ray
def test_a_dump_is_there_when_its_marker_is(local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A part of a dump is none: with ``ready`` the file that is written last is asked for."""
    config = configuration(
        tmp_path, store="./store", source="./dumps/dt={date}/", more='ready = "./dumps/dt={date}/_SUCCESS"\n'
    )
    folder = tmp_path / "dumps" / "dt=2026-11-27"
    write_jsonl(folder / "a.jsonl", recipes(3))
    code, answer, _ = kizami(capsys, "run", "recipes", "--config", config, "--date", "2026-11-27")
    assert (code, answer["error"]) == (69, "NotThereYetError")
    assert f"there is no {folder}/_SUCCESS" in answer["message"]
    (folder / "_SUCCESS").touch()
    assert kizami(capsys, "run", "recipes", "--config", config, "--date", "2026-11-27")[0] == 0


def test_looks_again_after_ever_longer_pauses(tmp_path: Path) -> None:
    """Twice as long each time, five minutes at the most, and no longer than was asked for."""
    corpus = load_config(dated(tmp_path)).corpus("recipes").of_date("2026-11-27")
    pauses: list[float] = []
    clock = time.monotonic()
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:

        def sleep(seconds: float) -> None:
            nonlocal clock
            pauses.append(round(seconds))
            clock += seconds

        patch.setattr("kizami_jobs.waiting.time.monotonic", lambda: clock)
        assert not await_source(corpus, 1200, say=said.append, sleep=sleep)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 285]
    assert "for 1200 s more" in said[0]


def test_a_wait_for_a_marker_names_it(tmp_path: Path) -> None:
    """The files may all be there to see."""
    corpus = replace(load_config(dated(tmp_path)).corpus("recipes"), ready="/dumps/{date}/_SUCCESS")
    said: list[str] = []
    assert not await_source(corpus.of_date("2026-11-27"), 0.01, say=said.append, sleep=time.sleep)
    assert "not there yet, as there is no /dumps/2026-11-27/_SUCCESS; looking again" in said[0]


def test_a_source_that_something_is_wrong_with_is_not_waited_for(tmp_path: Path) -> None:
    """The run says what, and its ledger has it."""
    (tmp_path / "dumps" / "dt=2026-11-27").mkdir(parents=True)
    (tmp_path / "dumps" / "dt=2026-11-27" / "a.txt").touch()
    corpus = load_config(dated(tmp_path)).corpus("recipes").of_date("2026-11-27")
    assert await_source(corpus, 1200, say=lambda _: None, sleep=lambda _: pytest.fail("waited"))


def test_a_signal_ends_the_wait(tmp_path: Path) -> None:
    """Within half a second, not at the end of a pause of minutes."""
    interruption = Interruption()
    interruption._note(15, None)
    corpus = load_config(dated(tmp_path)).corpus("recipes").of_date("2026-11-27")
    with pytest.raises(Exception, match="interrupted by signal 15"):
        await_source(corpus, 1200, say=lambda _: None, sleep=interruption.sleep)


@pytest.mark.parametrize("value", ["2", "2d", "-1s", "0s"])
def test_a_time_that_is_none_is_a_usage_error(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says how one is written."""
    with pytest.raises(SystemExit) as raised:
        kizami(capsys, "run", "recipes", f"--wait={value}")
    assert raised.value.code == 2
    assert "write a duration like 90s" in capsys.readouterr().err
