"""The benchmark's machinery, on an input so small that its figures mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.bench import Results
from benchmarks.incremental import IncrementalRun, shares, short_documents
from benchmarks.inputs import Input, mecab_command, write_input
from benchmarks.measures import TARGETS, Measure
from benchmarks.processor import Meter
from benchmarks.profile_worker import profile_worker
from benchmarks.repetition import run_repetition
from benchmarks.report import ENGLISH, JAPANESE, REPORT, Words, markdown
from benchmarks.samples import Spread, ratios
from benchmarks.whole_run import WholeRun
from kizami.analysis.dictionary import bundled_dictionary
from kizami_schemas import v1

FIELDS = ("title", "ingredients.name", "steps")
MENUS: list[dict[str, Any]] = [
    {
        "doc_id": "r-1",
        "title": "かぼちゃの煮物",
        "ingredients": [{"name": "かぼちゃ"}, {"name": "しょうゆ"}],
        "steps": ["切る。\n煮る。", ""],
    },
    {"doc_id": "r-2", "title": "肉じゃが", "ingredients": None, "steps": ["炒めて、煮る。"]},
]


@pytest.fixture
def source(tmp_path: Path) -> Input:
    """Two recipes as an input of the benchmark."""
    return write_input(tmp_path, "recipes", MENUS, FIELDS)


def test_a_team_and_a_worker_write_the_same_rows(source: Input, tmp_path: Path) -> None:
    """Where there is nothing to normalise, both contenders find the same texts, tokens and features."""
    ours, theirs = tmp_path / "ours.parquet", tmp_path / "theirs.parquet"
    arguments = json.dumps(source.fields)
    measured = run_repetition("kizami", str(source.documents), str(ours), arguments)
    assert (measured["rows"], source.text_count, source.document_count) == (7, 7, 2)
    assert measured["seconds"] > 0
    assert run_repetition("team", str(source.documents), str(theirs), arguments)["rows"] == 7
    assert run_repetition("read", str(ours), "lemma")["rows"] == 7
    columns = [name for name in v1.SCHEMA.names if name != "sentence_start"]  # the script counts empty lines too
    found, expected = (pq.read_table(path, columns=columns).to_pylist() for path in (theirs, ours))
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_mecab_prints_all_features_of_the_shown_form(source: Input) -> None:
    """The command line is given every line of text, and takes part where it is installed."""
    assert source.shown.read_text("utf-8").startswith("かぼちゃの煮物\n")
    command = mecab_command(bundled_dictionary().folder, source)
    if command is None:
        pytest.skip("needs the command mecab (on Debian: apt-get install mecab)")
    assert run_repetition("mecab", *command)["seconds"] > 0


def test_a_profile_accounts_for_all_of_the_time(source: Input, tmp_path: Path) -> None:
    """Stages and functions add up to the same seconds."""
    profile = profile_worker(source.documents, tmp_path / "store", source.fields)
    assert profile.samples > 0
    assert sum(profile.functions.values()) == pytest.approx(profile.seconds)
    assert sum(line.startswith("| stage |") for line in profile.tables()) == 1


def test_ratios_are_those_of_the_rounds() -> None:
    """A round in which the machine was busy has the same ratio as the others."""
    assert ratios([2.0, 20.0, 2.2], [1.0, 10.0, 1.0]) == Spread(2.0, 2.0, 2.2, 3)


def whole_run(seconds: float, analysis: float, workers: int, peak_bytes: int) -> WholeRun:
    """A run that did not take place; half a second of it was Ray's start."""
    stages = {"ray": 0.5, "read": 1.0, "analyse": analysis}
    return WholeRun(workers, seconds, stages, analysis * workers, peak_bytes, tokens=10, part_bytes=300)


@pytest.fixture
def results() -> Results:
    """Results of two rounds that did not take place."""
    results = Results()
    results.seconds |= {"mecab": [1, 1], "kizami": [2, 2], "team": [11, 11], "read": [0.02, 0.02]}
    results.seconds |= {"menus_mecab": [1, 1], "menus_kizami": [2, 2]}
    results.whole["one"] = [whole_run(25, 20, 1, 100)] * 2
    results.whole["two"] = [whole_run(12.5, 10, 2, 100)] * 2
    results.whole["memory_excerpt"] = [whole_run(5, 1, 1, 100_000_000)] * 2
    results.whole["memory_whole"] = [whole_run(14, 12, 1, 103_000_000)] * 2
    results.incremental = [
        IncrementalRun(name, seconds, 1.0, 5.0, 10, 90, 4, 3)
        for name, seconds in (("start", 5), ("full", 105), ("unchanged", 8), ("newest", 12), ("anywhere", 40))
    ]
    results.text_bytes |= dict.fromkeys([*results.seconds, *results.whole], 100)
    return results


def test_measures_say_what_is_missed(results: Results) -> None:
    """Each target has a measure, and each measure says whether its median reaches it."""
    measures = {measure.name: measure for measure in results.measures()}
    assert list(measures) == list(TARGETS)
    assert {name: round(measure.value.median, 3) for name, measure in measures.items()} == {
        "mecab": 0.5,
        "team": 5.5,
        "menus_mecab": 0.5,
        "two_workers": 2.0,
        "overhead": 0.2,
        "worker_memory": 103_000_000,
        "worker_memory_growth": 0.03,
        "snapshot_size": 3.0,
        "reading_team": 550.0,
        "reading_kizami": 100.0,
        "unchanged": 0.03,
        "newest": 0.07,
        "anywhere": 0.35,
    }
    missed = {name for name, measure in measures.items() if not measure.reached}
    assert missed == {"menus_mecab", "overhead", "snapshot_size", "reading_kizami", "newest"}
    assert not any(measure.aim_reached for measure in measures.values())
    assert all(Measure.of_record(measure.record()) == measure for measure in measures.values())


def test_what_starting_takes_is_left_out_of_the_shares(results: Results) -> None:
    """Of both: a run that takes no more than the start costs nothing."""
    assert shares(results.incremental) == {"unchanged": 0.03, "newest": 0.07, "anywhere": 0.35}


def test_short_documents_go_on_under_increasing_ids(shared_corpora: None) -> None:
    """Their texts have the size asked for, and no id comes twice."""
    documents = list(short_documents(300_000))
    ids = [document["doc_id"] for document in documents]
    assert ids == sorted(set(ids))
    size = sum(len(document["body"].encode()) for document in documents)
    assert 300_000 <= size < 300_000 + len(documents[-1]["body"].encode()) + 1
    assert size / len(documents) < 5_000


def test_processor_seconds_are_those_of_all_processes(tmp_path: Path) -> None:
    """Of a command and of what it starts; nothing here is Ray's worker but the command itself."""
    burn = "import time\nwhile time.process_time() < 1: pass"
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n{burn}"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        meter = Meter(process.pid)
        process.wait()
        meter.stop()
    assert 0.7 < meter.spent.job < 1.6
    assert 0.7 < meter.spent.ray < 1.6


def test_without_the_mecab_command_its_rows_are_left_out(results: Results) -> None:
    """The other measures stay."""
    del results.seconds["mecab"], results.seconds["menus_mecab"]
    assert {measure.name for measure in results.measures()} == set(TARGETS) - {"mecab", "menus_mecab"}


def record(results: Results, *, full: bool = True) -> dict[str, Any]:
    """A record as `make bench` writes it, through JSON and back."""
    spread = {"minimum": 1.0, "median": 2.0, "maximum": 3.0, "count": 2}
    made = {
        "settings": {"repetitions": 2, "full": full, "incremental_bytes": 500_000_000},
        "machine": {"cpu": "a CPU", "cores": 2, "memory_gib": 4, "kernel": "Linux 6.1"},
        "versions": dict.fromkeys(
            ("python", "mecab", "kizami", "fugashi", "unidic-lite", "pyarrow", "pandas", "ray"), "1"
        ),
        "inputs": [{"name": "bulk", "documents": 1, "texts": 1, "text_bytes": 15_000_000}],
        "contenders": {"kizami": {"spread": spread, "text_bytes": 15_000_000}},
        "whole_runs": {"two": {"seconds": spread, "text_bytes": 128_000_000}},
        "incremental": [asdict(run) for run in results.incremental],
        "measures": [measure.record() for measure in results.measures()],
    }
    loaded: dict[str, Any] = json.loads(json.dumps(made))
    return loaded


@pytest.mark.parametrize("words", [ENGLISH, JAPANESE])
def test_a_report_has_a_row_for_every_measure(results: Results, words: Words) -> None:
    """In both languages, with the machine, the target and what is missed."""
    report = markdown(record(results), words)
    assert "a CPU" in report
    assert "{" not in report
    rows = [line for line in report.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(TARGETS) + 1 + 2 + 1 + len(results.incremental)
    assert sum(line.endswith(f"{words.missed} |") for line in rows) == 5
    assert words.measures.keys() == TARGETS.keys()


def test_the_readmes_take_the_figures_of_a_full_run_only(results: Results, tmp_path: Path) -> None:
    """What stands outside the marks is kept, and doing it again changes nothing; a trial's figures are refused."""
    paths = [tmp_path / "README.md", tmp_path / "README.ja.md"]
    for path in paths:
        path.write_text(f"before\n{REPORT.begin}yesterday\n{REPORT.end}after\n", "utf-8")
    with pytest.raises(ValueError, match="trial"):
        REPORT.refresh(tmp_path, record(results, full=False))
    assert REPORT.refresh(tmp_path, record(results)) == paths
    english = paths[0].read_text("utf-8")
    assert english.startswith(f"before\n{REPORT.begin}Medians of 2 runs on a CPU")
    assert english.endswith(f"{REPORT.end}after\n")
    assert "yesterday" not in english
    REPORT.refresh(tmp_path, record(results))
    assert paths[0].read_text("utf-8") == english
