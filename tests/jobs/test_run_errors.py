"""``kizami run`` when something is wrong: the exit code, one line on stderr, one JSON object on stdout."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kizami_jobs.cli import main
from support.job import configuration, kizami
from support.kitchen import jsonl, recipes, write_jsonl
from support.store_contents import ledger


def _run(capsys: pytest.CaptureFixture[str], config: Path, *more: str) -> tuple[int, str]:
    """Exit code and message of a run that fails, the forms of both looked at."""
    code, answer, err = kizami(capsys, "run", "recipes", "--config", config, *more)
    last = err.splitlines()[-1]
    assert set(answer) == {"error", "message", "exit_code"}
    assert answer["exit_code"] == code
    assert last == f"kizami: {answer['message']}"
    assert "Traceback" not in err
    return code, answer["message"]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('stor = "x"\n', "unknown key stor (did you mean store?)"),
        (
            'store = "x"\n[corpora.recipes]\nsource = "x"\nid = "id"\nfield = ["a"]\n',
            "unknown key corpora.recipes.field",
        ),
        ('store = "x"\n', "no corpus: add a table [corpora.NAME]"),
        ('store = "x"\n[corpora.articles]\nsource = "x"\nid = "id"\nfields = ["a"]\n', "there are: articles"),
        ('store = "x"\n[corpora.recipes]\nsource = "x"\nfields = ["a"]\n', "corpora.recipes.id is missing"),
        ('store = "x"\n[corpora.recipes]\nsource = "x"\nid = "id"\nfields = "a"\n', "fields is not a list"),
        (
            'store = "x"\ntimezone = "Asia/Tokio"\n[corpora.recipes]\nsource = "x"\nid = "i"\nfields = ["a"]\n',
            "Asia/Tokio",
        ),
        ('store = "x\n', "cannot be read"),
    ],
)
def test_a_wrong_configuration_exits_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], toml: str, message: str
) -> None:
    """The message names the file, the key and what is there."""
    path = tmp_path / "kizami.toml"
    path.write_text(toml)
    code, said = _run(capsys, path)
    assert code == 78
    assert message in said


def test_a_missing_configuration_exits_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the file that was looked for, and the option."""
    code, said = _run(capsys, tmp_path / "nowhere.toml")
    assert code == 78
    assert "nowhere.toml: no such configuration file" in said
    assert "--config" in said


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "recipes", "--date", "gestern"], ["runs", "recipes"]])
def test_a_usage_error_exits_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """argparse's own code and message."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert "usage: kizami" in capsys.readouterr().err


@pytest.mark.ray
@pytest.mark.parametrize(
    ("id_column", "field", "absent", "suggestion"),
    [
        ("recipe_ids", "title", "recipe_ids", "recipe_id"),
        ("recipe_id", "ingredients.nam", "ingredients.nam", "ingredients.name"),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_an_absent_column_exits_78(
    local_ray: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    id_column: str,
    field: str,
    absent: str,
    suggestion: str,
    suffix: str,
) -> None:
    """The message names the column, the nearest one that is there, and the source."""
    source = tmp_path / f"source.{suffix}"
    if suffix == "csv":
        source.write_text("recipe_id,title,ingredients.name\n1,卵焼き,卵\n", encoding="utf-8")
    else:
        write_jsonl(source, recipes(3))
    config = configuration(tmp_path, store="./store", source=str(source), id_column=id_column, fields=[field])
    code, said = _run(capsys, config)
    assert code == 78
    assert f"has no column {absent} (did you mean {suggestion}?)" in said
    assert str(source) in said
    assert ledger(str(tmp_path / "store"))[0].exit_code == 78


@pytest.mark.ray
@pytest.mark.parametrize(
    ("name", "make", "exit_code", "message"),
    [
        ("none.jsonl", lambda: None, 69, "no file matches"),
        ("dump.txt", lambda: b"x", 65, "none of the extensions that are read"),
        ("cut.jsonl", lambda: jsonl(recipes(5))[:-20], 65, "is truncated"),
        ("cut.jsonl.gz", lambda: gzip.compress(jsonl(recipes(200)))[:-30], 65, "truncated"),
        ("no.jsonl.gz", lambda: b"not gzip at all", 65, "not valid"),
        ("no.jsonl.zst", lambda: b"not zstd at all", 65, "not valid"),
        ("no.parquet", lambda: b"PAR1 not really", 65, "not valid"),
        ("empty.jsonl", lambda: b"", 65, "no texts to publish; give --allow-empty"),
    ],
)
def test_a_source_that_cannot_be_read_publishes_nothing(
    local_ray: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    make: Callable[[], bytes | None],
    exit_code: int,
    message: str,
) -> None:
    """Absent is 69 (it may still come), unreadable 65; the message names the file and the ledger has the run."""
    content = make()
    (tmp_path / "source").mkdir()
    if content is not None:
        (tmp_path / "source" / name).write_bytes(content)
    config = configuration(tmp_path, store="./store", source=f"./source/{name}")
    code, said = _run(capsys, config)
    assert (code, name in said, message in said) == (exit_code, True, True), said
    entry = ledger(str(tmp_path / "store"))[0]
    assert (entry.state, entry.exit_code) == ("failed", exit_code)
    assert not (tmp_path / "store" / "v1" / "recipes" / "latest.json").exists()


@pytest.mark.ray
def test_a_file_that_breaks_off_after_many_sound_blocks_publishes_nothing(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was read before the break, and all of the other files, does not make a snapshot."""
    titles = [{"recipe_id": f"r-{number}", "title": "卵焼き"} for number in range(50_000)]
    write_jsonl(tmp_path / "source" / "a.jsonl", recipes(10))
    (tmp_path / "source" / "b.jsonl").write_bytes(jsonl(titles)[:-5])
    config = configuration(tmp_path, store="./store", source="./source")
    code, said = _run(capsys, config)
    assert code == 65
    assert "b.jsonl is truncated: line 50000" in said
    assert not (tmp_path / "store" / "v1" / "recipes" / "latest.json").exists()


@pytest.mark.ray
def test_another_date_of_an_undated_source_exits_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would be needed, and takes no lock."""
    config = configuration(tmp_path, store="./store", source="./source.jsonl")
    code, said = _run(capsys, config, "--date", "2020-01-01")
    assert code == 78
    assert "give --as-of-now" in said
    assert not (tmp_path / "store" / "v1").exists()


@pytest.mark.ray
def test_the_answer_is_one_json_object(local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json stdout has the run and the snapshot; without it a sentence and the folder; progress is on stderr."""
    write_jsonl(tmp_path / "a.jsonl", recipes(3))
    config = configuration(tmp_path, store="./store", source="./a.jsonl")
    code, answer, err = kizami(capsys, "run", "recipes", "--config", config)
    assert code == 0
    assert answer["run"]["state"] == "published"
    assert answer["run"]["counts"]["documents"] == 3
    assert "business date" in err
    assert main(["run", "recipes", "--config", str(config)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("nothing to do")
    assert out[1] == f"{tmp_path}/store/{answer['snapshot']['path']}"
    code, history, _ = kizami(capsys, "history", "recipes", "--config", config)
    assert [each["state"] for each in history["runs"]] == ["unchanged", "published"]
    assert json.dumps(history)
