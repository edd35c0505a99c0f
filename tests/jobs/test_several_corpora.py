"""`kizami run --all`: every corpus has its turn, and the exit code tells."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kizami.config import Config, CorpusConfig, load_config
from kizami.errors import DataError
from kizami.signals import Interruption
from kizami_jobs.cli import main
from kizami_jobs.daily import RunResult
from kizami_jobs.progress import Progress
from kizami_jobs.request import RunRequest
from kizami_jobs.several import Outcome, exit_code, run_all
from support.job import kizami
from support.kitchen import recipes, write_jsonl
from support.store_contents import ledger


def configuration(folder: Path, **sources: str) -> Path:
    """A configuration of several corpora."""
    tables = "".join(
        f'[corpora.{name}]\nsource = "{source}"\nid = "recipe_id"\nfields = ["title"]\n'
        for name, source in sources.items()
    )
    path = folder / "kizami.toml"
    path.write_text(f'store = "./store"\n{tables}')
    return path


@pytest.mark.ray
def test_one_failure_does_not_stop_the_others(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of five fail, each in its own way; the other three are published, and each has its entry in the ledger."""
    write_jsonl(tmp_path / "good.jsonl", recipes(3))
    (tmp_path / "cut.jsonl").write_text('{"recipe_id": 1, "tit')
    config = configuration(
        tmp_path, a="./good.jsonl", late="./none.jsonl", b="./good.jsonl", cut="./cut.jsonl", c="./good.jsonl"
    )
    code, answer, err = kizami(capsys, "run", "--all", "--config", config)
    assert (code, answer["exit_code"]) == (65, 65)
    assert list(answer["corpora"]) == ["a", "late", "b", "cut", "c"]
    told = answer["corpora"]
    assert [told[name]["run"]["state"] for name in "abc"] == ["published"] * 3
    assert (told["late"]["error"], told["late"]["exit_code"]) == ("NotThereYetError", 69)
    assert told["cut"]["exit_code"] == 65
    assert f"kizami: cut: {told['cut']['message']}" in err.splitlines()
    assert [ledger(str(tmp_path / "store"), name)[0].exit_code for name in told] == [0, 69, 0, 65, 0]

    assert main(["run", "--all", "--config", str(config)]) == 65
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("a: nothing to do")
    assert out[2].startswith("late: failed with 69: source")


@pytest.mark.ray
def test_those_that_are_there_do_not_wait_for_the_others(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is late: the others are run first, and it fails when its time is over."""
    monkeypatch.setattr("kizami_jobs.waiting._FIRST_SECONDS", 0.1)
    write_jsonl(tmp_path / "good.jsonl", recipes(3))
    config = configuration(tmp_path, late="./none.jsonl", a="./good.jsonl")
    code, answer, _ = kizami(capsys, "run", "--all", "--wait", "1s", "--config", config)
    assert code == 69
    assert list(answer["corpora"]) == ["a", "late"]
    assert answer["corpora"]["a"]["run"]["state"] == "published"


def test_a_bug_in_looking_for_a_source_is_that_corpus_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw comes in its turn, and the others have theirs."""

    def look(corpus: CorpusConfig, seconds: float, **_: object) -> bool:
        if corpus.name == "odd":
            raise RuntimeError("nobody foresaw this")
        return False

    def run(config: Config, request: RunRequest, *_: object, **__: object) -> RunResult:
        raise DataError(f"{request.corpus} had its turn")

    monkeypatch.setattr("kizami_jobs.several.await_source", look)
    monkeypatch.setattr("kizami_jobs.several.run_corpus", run)
    config = load_config(configuration(tmp_path, late="./none.jsonl", odd="./odd.jsonl"))
    outcomes = run_all(
        config,
        RunRequest("", wait_seconds=0.1),
        Progress(io.StringIO()),
        address=None,
        interruption=Interruption(),
    )
    assert [each.message for each in outcomes] == ["odd had its turn", "late had its turn"]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], 0), ([0, 0], 0), ([0, 75], 75), ([69, 78, 75], 78), ([75, 124, 69], 124), ([65, 69], 65), ([70, 78], 70)],
)
def test_the_exit_code_is_that_of_the_gravest(codes: list[int], expected: int) -> None:
    """What needs somebody comes before what passes by itself."""
    assert exit_code([Outcome("a", exit_code=code) for code in codes]) == expected


@pytest.mark.parametrize("arguments", [["run"], ["run", "recipes", "--all"]])
def test_a_corpus_or_all(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One of the two is asked for."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
