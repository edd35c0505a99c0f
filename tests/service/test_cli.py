"""The command line: what each verb prints, where, and how it ends."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kizami import json_form, layout
from kizami.cli import Answer, Verb, check_schema
from kizami.cli import main as run_verb
from kizami.ledger import ErrorEntry, FailedAttempt, Ledger, RunCounts, RunEntry, State
from kizami.stores import open_store
from kizami_jobs.cli import VERBS, main
from kizami_schemas import v1
from kizami_schemas.compatibility import frozen
from support.environments import Environment
from support.published import CORPUS, DOC_ID, Published
from support.snapshot_factory import Recipe, publish_snapshot, recipes

PROJECT = Path(__file__).parent.parent.parent


@pytest.fixture
def config(tmp_path: Path, local_snapshot: Published) -> str:
    """A configuration of the published snapshot's store, with a corpus that has no snapshot beside it."""
    return write_config(tmp_path, local_snapshot.store)


def write_config(folder: Path, store: str) -> str:
    """A configuration file with two corpora."""
    corpora = "".join(
        f'[corpora.{name}]\nsource = "{name}.jsonl"\nid = "id"\nfields = ["title"]\n' for name in (CORPUS, "novels")
    )
    path = folder / "kizami.toml"
    path.write_text(f'store = "{store}"\n{corpora}', "utf-8")
    return str(path)


def entry(run: str, **changes: Any) -> RunEntry:
    """A run's entry in the ledger."""
    made = RunEntry(
        run=run,
        verb="run",
        corpus=CORPUS,
        date="2026-11-23",
        state=State.PUBLISHED,
        stage="publish",
        started_at="2026-11-23T05:00:00Z",
        exit_code=0,
        counts=RunCounts(rows=1234, texts_analysed=12, texts_reused=1222, parts=4, parts_copied=3, quarantined=1),
        stage_seconds={"read": 1.5, "analyse": 2.25},
    )
    return replace(made, **changes)


def script(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """The command as a process of its own."""
    command = [sys.executable, "-c", "import sys; from kizami_jobs.cli import main; sys.exit(main())", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, check=False, timeout=60, **options)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_has_help(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    """The verb and each of its arguments say what they do; --config, --json and --debug are the same everywhere."""
    assert verb.help
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    assert all(action.help for action in parser._actions)
    with pytest.raises(SystemExit) as ended:
        main([verb.name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for word in (verb.help.split(",")[0].split(":")[0], "--config FILE", "--json", "--debug"):
        assert word in " ".join(shown.split())


def test_the_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """`kizami --help` is the list of verbs."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for verb in VERBS:
        assert re.search(rf"^\s+{verb.name}\s", shown, re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "README.ja.md"])
def test_the_readme_has_every_verb(page: str) -> None:
    """Who reads the README meets every verb, and no verb that there is not."""
    text = (PROJECT / page).read_text("utf-8")
    names = {verb.name for verb in VERBS}
    assert {name for name in names if f"`kizami {name}" not in text} == set()
    assert set(re.findall(r"`kizami ([a-z]+)", text)) - names == set()


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """`kizami --version` tells what is installed."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"kizami \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paths", CORPUS],
        ["path"],
        ["path", CORPUS, "--date", "23.11.2026"],
        ["path", CORPUS, "--date", "2026-11-31"],
        ["path", CORPUS, "--date", "0001-01-01"],
        ["path", CORPUS, "--date", "9999-12-31"],
        ["path", CORPUS, "--dat"],
        ["show", CORPUS],
        ["history", CORPUS, "--limit", "0"],
        ["history", CORPUS, "--limit", "-1"],
        ["history", CORPUS, "--limit", "many"],
        ["schema", "freeze"],
        ["run", CORPUS, "--date", "yesterday"],
    ],
    ids=" ".join,
)
def test_a_usage_error_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be parsed is told with the usage, on stderr alone."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: kizami")


def test_path_prints_the_folder_alone(
    config: str, local_snapshot: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell can take the output as it is; --glob gives the pattern, --json both."""
    assert main(["path", CORPUS, "--config", config]) == 0
    assert capsys.readouterr() == (local_snapshot.path + "\n", "")
    assert main(["path", CORPUS, "--config", config, "--date", "2026-11-23", "--glob"]) == 0
    assert capsys.readouterr() == (local_snapshot.glob + "\n", "")
    assert main(["path", CORPUS, "--config", config, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": local_snapshot.path, "glob": local_snapshot.glob}


@pytest.mark.s3
@pytest.mark.usefixtures("s3_url")
def test_path_and_show_work_on_s3(tmp_path: Path, s3_snapshot: Published, capsys: pytest.CaptureFixture[str]) -> None:
    """The same verbs, the store at s3://."""
    config = write_config(tmp_path, s3_snapshot.store)
    assert main(["path", CORPUS, "--config", config]) == 0
    assert capsys.readouterr() == (s3_snapshot.path + "\n", "")
    assert main(["show", CORPUS, DOC_ID, "--config", config]) == 0
    assert capsys.readouterr().out.startswith("title[0]  ")


def test_show_prints_columns(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lemma, reading and part of speech begin in the same column of a terminal in every line."""
    assert main(["show", CORPUS, "🍣-0003", "--config", config]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if re.match(r" +\d+  ", line)]
    assert len(lines) > 20
    for line in lines:
        columns = "".join(character * (2 if ord(character) > 0x2000 else 1) for character in line)
        assert columns[35] == columns[51] == " "
        assert columns[9] != " "
        assert columns[21] != " "
        assert columns[53] != " "


def test_show_gives_programs_the_rows(
    config: str, local_snapshot: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json has the part and every column of every row."""
    assert main(["show", CORPUS, DOC_ID, "--date", "2026-11-23", "--config", config, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    expected = [row for row in local_snapshot.rows.to_pylist() if row["doc_id"] == DOC_ID]
    assert shown["rows"] == expected
    assert shown["path"].startswith(local_snapshot.path + "part-0000")


def test_show_names_a_damaged_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A part that is no Parquet file is a fault of the data, named with what to do."""
    store = str(tmp_path / "store")
    manifest = publish_snapshot(store, Recipe(recipes(2)))
    open_store(store).put(layout.part_key(CORPUS, manifest.snapshot, 0), b"not Parquet")
    assert main(["show", CORPUS, DOC_ID, "--config", write_config(tmp_path, store)]) == 65
    assert re.fullmatch(r"kizami: .*part-00000\.parquet is damaged .*\n", capsys.readouterr().err)


def test_show_tells_damage_from_a_store_that_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pages that were overwritten are a fault of the data too, though Arrow calls it one of reading."""
    store = str(tmp_path / "store")
    manifest = publish_snapshot(store, Recipe(recipes(2)))
    part = tmp_path / "store" / layout.part_key(CORPUS, manifest.snapshot, 0)
    body = part.read_bytes()
    part.write_bytes(body[:4] + bytes(len(body) // 2) + body[4 + len(body) // 2 :])
    assert main(["show", CORPUS, DOC_ID, "--config", write_config(tmp_path, store)]) == 65
    assert re.fullmatch(r"kizami: .*part-00000\.parquet is damaged .*--full.*\n", capsys.readouterr().err)


@pytest.fixture
def ledger(tmp_path: Path) -> tuple[str, list[RunEntry]]:
    """A configuration whose store has a ledger of five runs, the newest first."""
    store = str(tmp_path / "store")
    entries = [
        entry("20261123T050000Z-d", state=State.STARTED, exit_code=None, stage="analyse"),
        entry("20261122T050000Z-c", state=State.FAILED, exit_code=69, error=ErrorEntry("UnavailableError", "不在")),
        entry("20261121T050000Z-b", state=State.DIED, exit_code=None),
        entry(
            "20261120T050000Z-a",
            quarantined_by_reason={"duplicate_id": 1234, "analysis_failed": 1},
            failed_attempts=(FailedAttempt(3, "its worker died"), FailedAttempt(None, "Ray read a.jsonl again")),
            late_since="2026-11-20T05:01:00Z",
        ),
        entry("20261119T050000Z-9", state=State.CANDIDATE, snapshot="20261119T050000Z-s"),
    ]
    for each in entries:
        Ledger(open_store(store), CORPUS).write(each)
    return write_config(tmp_path, store), entries


def test_history_is_a_line_a_run(ledger: tuple[str, list[RunEntry]], capsys: pytest.CaptureFixture[str]) -> None:
    """The newest first; state, exit code, counts, seconds and id; under it what was held back by reason, what was tried
    again, which snapshot was left, or why it failed."""
    config, _ = ledger
    assert main(["history", CORPUS, "--config", config]) == 0
    lines = capsys.readouterr().out.splitlines()
    counts = (
        "       1,234 rows          12 analysed       1,222 reused       3 of      4 parts copied       1 quarantined"
        "      3.8 s"
    )
    assert lines == [
        f"2026-11-23T05:00:00Z  2026-11-23  run        started      exit -  {counts}  20261123T050000Z-d",
        f"2026-11-23T05:00:00Z  2026-11-23  run        failed       exit 69 {counts}  20261122T050000Z-c",
        "    UnavailableError at publish: 不在",
        f"2026-11-23T05:00:00Z  2026-11-23  run        died         exit -  {counts}  20261121T050000Z-b",
        f"2026-11-23T05:00:00Z  2026-11-23  run        published    exit 0  {counts}  20261120T050000Z-a",
        "    quarantined: 1,234 duplicate_id, 1 analysis_failed",
        "    part 3 tried again: its worker died",
        "    tried again: Ray read a.jsonl again",
        "    late since 2026-11-20T05:01:00Z",
        f"2026-11-23T05:00:00Z  2026-11-23  run        candidate    exit 0  {counts}  20261119T050000Z-9",
        "    candidate 20261119T050000Z-s",
    ]
    assert main(["history", CORPUS, "--config", config, "--limit", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[:1]


def test_history_gives_programs_the_entries(
    ledger: tuple[str, list[RunEntry]], capsys: pytest.CaptureFixture[str]
) -> None:
    """--json has the entries as the store has them."""
    config, entries = ledger
    assert main(["history", CORPUS, "--config", config, "--json"]) == 0
    expected = [json.loads(json_form.encode(each)) for each in entries]
    assert json.loads(capsys.readouterr().out) == {"corpus": CORPUS, "runs": expected}


def test_history_takes_any_limit(config: str) -> None:
    """Also one beyond what a machine counts to."""
    assert main(["history", "novels", "--limit", "9" * 30, "--config", config]) == 0


def test_a_file_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a folder should be: not taken for a store in which nothing is."""
    config = write_config(tmp_path, str(tmp_path / "kizami.toml"))
    for verb in ("history", "check"):
        assert main([verb, CORPUS, "--config", config]) == 78
        assert "kizami.toml is a file and no folder" in capsys.readouterr().err


def test_history_of_a_corpus_without_runs(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No runs yet is no error."""
    assert main(["history", "novels", "--config", config]) == 0
    assert capsys.readouterr().out == "no runs of novels yet\n"


def test_schema_shows_and_checks(capsys: pytest.CaptureFixture[str]) -> None:
    """Needs no configuration; the check names what it compared."""
    assert main(["schema"]) == 0
    shown = capsys.readouterr().out
    assert main(["schema", "show"]) == 0
    assert capsys.readouterr().out == shown == (PROJECT / "schemas" / "v1.md").read_text("utf-8")
    assert main(["schema", "check"]) == 0
    assert capsys.readouterr().out == "schema v1.0 keeps what v1 promised\n"
    assert main(["schema", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "1.0", "columns": frozen(1), "added": []}
    assert main(["schema", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "1.0", "columns": frozen(1)}


@pytest.mark.parametrize("arguments", [["schema"], ["schema", "--json"]])
def test_a_broken_schema_exits_1(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A schema that does not keep its promise is a fault that the check found, with its own exit code."""
    broken = v1.SCHEMA.remove(0)
    verb = Verb("schema", "check", lambda _: None, lambda _: check_schema(frozen(1), broken))
    assert run_verb([verb], arguments) == 1
    printed = capsys.readouterr().out
    error = json.loads(printed)["error"] if "--json" in arguments else printed
    assert "column 'doc_id' is gone" in error


ERRORS = {
    "no configuration": (["path", CORPUS, "--config", "nowhere.toml"], 78, "ConfigurationError", "nowhere.toml"),
    "no such corpus": (["path", "recipe"], 78, "ConfigurationError", "did you mean recipes?"),
    "no snapshot": (["path", "novels"], 65, "DataError", "`kizami run novels` makes one"),
    "no snapshot of the date": (["path", CORPUS, "--date", "2026-11-22"], 65, "DataError", "2026-11-22"),
    "no document": (["show", CORPUS, "肉じゃが"], 65, "DataError", "no document '肉じゃが'"),
    "an id that is no Unicode": (["show", CORPUS, "\udcff"], 65, "DataError", r"no document '\udcff'"),
    "a corpus that is no Unicode": (["path", "\udcff"], 78, "ConfigurationError", r"no corpus '\udcff'"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_one_line(case: str, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, without a traceback; with --json also one object on stdout; the exit code says what to do next."""
    arguments, code, name, words = ERRORS[case]
    arguments = arguments if "--config" in arguments else [*arguments, "--config", config]
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(rf"kizami: .*{re.escape(words)}.*\n", printed.err)
    assert main([*arguments, "--json"]) == code
    again = capsys.readouterr()
    assert again.err == printed.err
    message = printed.err.removeprefix("kizami: ").rstrip("\n")
    assert json.loads(again.out) == {"error": name, "message": message, "exit_code": code}


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """--debug shows where it happened, before the one line."""
    assert main(["path", CORPUS, "--config", "nowhere.toml", "--debug"]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith("kizami: nowhere.toml")


def failing(error: BaseException) -> Sequence[Verb]:
    """A command line whose only verb fails."""

    def perform(_: argparse.Namespace) -> Answer:
        raise error

    return [Verb("fail", "fail", lambda _: None, perform)]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ZeroDivisionError("秘密の本文"), 70, "ZeroDivisionError: this is a bug in kizami; --debug shows where"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_bug_is_reported_as_one(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was not foreseen exits 70 and does not quote what it stumbled over; Ctrl-C exits 130."""
    assert run_verb(failing(error), ["fail"]) == code
    printed = capsys.readouterr().err
    assert printed.startswith(f"kizami: {message}")
    assert printed.count("\n") == 1
    assert "秘密" not in printed


def test_a_closed_pipe_is_no_error(config: str) -> None:
    """`kizami path … | head -0`: nobody reads, nothing is complained about."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = script("path", CORPUS, "--config", config, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "variables",
    [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "euc_jp"}],
    ids=["C", "C without UTF-8 mode", "EUC-JP"],
)
def test_japanese_is_printed_in_any_locale(variables: Mapping[str, str], config: str) -> None:
    """What the terminal cannot show is escaped; JSON stays JSON."""
    arguments = ["show", CORPUS, "recipe-0004", "--config", config]
    shown = script(*arguments, stdout=subprocess.PIPE, env={**os.environ, **variables})
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"title[0]" in shown.stdout
    rows = script(*arguments, "--json", stdout=subprocess.PIPE, env={**os.environ, **variables})
    assert json.loads(rows.stdout)["rows"][0]["text"] == "🍣の盛り合わせ その4"
    absent = script("path", "novels", "--config", config, stdout=subprocess.PIPE, env={**os.environ, **variables})
    assert (absent.returncode, absent.stderr.count(b"\n")) == (65, 1)


def test_the_reading_verbs_do_without_the_job(
    base_environment: Environment, config: str, local_snapshot: Published, tmp_path: Path
) -> None:
    """`pip install kizami` reads: no Ray, no MeCab, no pandas, and every reading verb works."""
    code = """
import importlib.util
for name in ("ray", "fugashi", "unidic_lite", "orjson", "psutil", "tqdm", "pandas"):
    assert importlib.util.find_spec(name) is None, name
import os, sys
import kizami
assert "boto3" not in sys.modules and "pyarrow" in sys.modules
print(kizami.snapshot_path(os.environ["STORE"], "recipes"))
print(kizami.document_path(os.environ["STORE"], "recipes", os.environ["DOC_ID"]))
"""
    variables = {"STORE": local_snapshot.store, "DOC_ID": DOC_ID}
    path, part = base_environment.python(code, variables).splitlines()
    assert path == local_snapshot.path
    assert part.startswith(path)
    command = base_environment.script("kizami")
    for arguments, words in (
        (("path", CORPUS, "--config", config), local_snapshot.path),
        (("show", CORPUS, DOC_ID, "--config", config), "title[0]"),
        (("history", CORPUS, "--config", config), f"no runs of {CORPUS} yet"),
        (("schema", "check"), "keeps what v1 promised"),
        (("schema",), "| `doc_id` |"),
    ):
        done = base_environment.run(command, *arguments, variables={}, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert words in done.stdout


def test_running_the_job_needs_its_extra(base_environment: Environment, config: str, tmp_path: Path) -> None:
    """Without Ray `kizami run` is a fault of the installation, told in one line with the remedy."""
    done = base_environment.run(
        base_environment.script("kizami"), "run", CORPUS, "--config", config, variables={}, folder=tmp_path
    )
    assert (done.returncode, done.stdout) == (78, "")
    assert re.fullmatch(r"kizami: \S+ is not installed: .*pip install 'kizami\[jobs\]'\n", done.stderr)
