"""``--log json``: a run told to programs, line by line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from kizami.ledger import RunEntry, State
from kizami.log import JsonLog
from kizami.part_builder import Done
from kizami_jobs import json_progress
from kizami_jobs.cli import main
from kizami_jobs.json_progress import JsonProgress
from support.job import configuration
from support.kitchen import recipes, write_jsonl
from support.kizami_process import KizamiProcess
from support.store_contents import ledger

ENTRY = RunEntry("r", "run", "recipes", "2026-11-23", State.STARTED, "lock", "2026-11-23T05:00:00Z")


def _events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.ray
def test_a_run_is_told_in_json(local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It starts with parameters and versions and ends with counts and its duration; no line is anything but JSON, none
    has a text of the corpus in it, the answer on stdout is as ever."""
    documents = [*recipes(12), {"recipe_id": "twice", "title": "秘密の鍋"}, {"recipe_id": "twice", "title": "秘密の皿"}]
    write_jsonl(tmp_path / "recipes.jsonl", documents)
    config = configuration(tmp_path, store="./store", source="./recipes.jsonl", more='expected_time = "0.001s"\n')
    assert main(["run", "recipes", "--config", str(config), "--log", "json"]) == 0
    out, err = capsys.readouterr()
    assert "published" in out
    start, *middle, end = _events(err)
    (entry,) = ledger(str(tmp_path / "store"))
    assert (start["event"], start["run"], start["corpus"]) == ("start", entry.run, "recipes")
    assert start["parameters"]["source"] == str(tmp_path / "recipes.jsonl")
    assert start["parameters"]["expected_seconds"] == 0.001
    assert {"kizami", "ray", "fugashi", "dictionary"} <= set(start["versions"])
    assert (end["event"], end["state"], end["exit_code"]) == ("end", "published", 0)
    assert end["counts"]["quarantined"] == 2
    assert end["counts"]["rows"] == entry.counts.rows
    assert end["duration_ms"] > 0
    events = {each["event"] for each in middle}
    assert events == {"message", "warning"}
    for document in documents:
        assert document["title"] not in err
    assert "秘密" not in err


def test_a_failed_run_ends_with_its_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice: as the end of the run, and as the command's last line; and a wrong command is told in JSON, too."""
    config = configuration(tmp_path, store="./store", source="./nowhere.jsonl")
    assert main(["run", "recipes", "--config", str(config), "--log", "json"]) == 69
    start, *_, end, last = _events(capsys.readouterr().err)
    assert start["event"] == "start"
    assert (end["event"], end["level"], end["exit_code"]) == ("end", "error", 69)
    assert end["error"]["name"] == "NotThereYetError"
    assert (last["event"], last["exit_code"], last["message"]) == ("error", 69, end["error"]["message"])
    assert main(["run", "novels", "--config", str(config), "--log", "json"]) == 78
    assert [each["event"] for each in _events(capsys.readouterr().err)] == ["error"]


@pytest.mark.ray
def test_what_ray_prints_is_json_too(tmp_path: Path) -> None:
    """The news of a dead worker, say; the environment asks for JSON here, as a unit or a manifest would."""
    write_jsonl(tmp_path / "recipes.jsonl", recipes(400))
    config = configuration(tmp_path, store="./store", source="./recipes.jsonl", part_bytes="1KiB")
    with KizamiProcess(["run", "recipes", "--config", config], tmp_path, {"KIZAMI_LOG": "json"}) as process:
        killed = False
        while process.running:
            if not killed and (workers := process.workers("make_part")):
                workers[0].kill()
                killed = True
        assert process.wait() == 0
        events = _events(process.stderr)
    assert killed
    assert [each["event"] for each in events if each["event"] in {"start", "end"}] == ["start", "end"]
    assert any("its worker died; trying it again" in each.get("message", "") for each in events)


def test_progress_is_told_every_ten_thousand_documents() -> None:
    """Once for each look at which 10,000 more are done, however many texts they have; a part that is tried again may
    take some back."""
    stream = io.StringIO()
    progress = JsonProgress(JsonLog(stream))
    progress.begin(ENTRY, {})
    progress.start_texts(Done(90_000, 45_000))
    for documents in (0, 9_999, 10_000, 10_001, 19_999, 31_000, 9_000, 12_000, 45_000, 45_000):
        progress.advance(Done(2 * documents, documents))
    progress.end_texts()
    told = [each for each in _events(stream.getvalue()) if each["event"] == "progress"]
    assert [(each["documents"], each["texts"]) for each in told] == [
        (10_000, 20_000),
        (31_000, 62_000),
        (12_000, 24_000),
        (45_000, 90_000),
    ]
    assert {(each["documents_total"], each["texts_total"]) for each in told} == {(45_000, 90_000)}
    assert all(each["texts_per_second"] > 0 for each in told)


@pytest.mark.ray
def test_a_run_tells_its_progress_by_documents(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers count them; the last line has all of those that were not copied, as the run's own count has."""
    monkeypatch.setattr(json_progress, "EVERY_DOCUMENTS", 1)
    write_jsonl(tmp_path / "recipes.jsonl", recipes(60))
    config = configuration(tmp_path, store="./store", source="./recipes.jsonl", part_bytes="4KiB")
    for count in (60, 61):
        write_jsonl(tmp_path / "recipes.jsonl", recipes(count))
        assert main(["run", "recipes", "--config", str(config), "--log", "json"]) == 0
        *_, last = (each for each in _events(capsys.readouterr().err) if each["event"] == "progress")
        assert (last["documents"], last["texts"]) == (last["documents_total"], last["texts_total"])
        copied = ledger(str(tmp_path / "store"))[0].counts.parts_copied
        assert (copied > 0, last["documents"] < count) == (count == 61, count == 61)
        assert 0 < last["documents"] < last["texts"]


def test_an_unknown_form_of_log_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the command line and in the environment."""
    for arguments, environment in ((["--log", "xml"], "text"), ([], "xml")):
        monkeypatch.setenv("KIZAMI_LOG", environment)
        with pytest.raises(SystemExit) as ended:
            main(["schema", *arguments])
        assert ended.value.code == 2
        assert "xml" in capsys.readouterr().err
