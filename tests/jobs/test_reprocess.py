"""Analysing again what did not change: `kizami run --full` and `kizami reprocess`, through the daily job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kizami.ledger import State
from support.job import configuration, kizami, run
from support.kitchen import RECIPE_FIELDS, expected_texts, recipes, write_jsonl
from support.store_contents import head, ledger, published

pytestmark = pytest.mark.ray


@pytest.fixture
def config(local_ray: int, tmp_path: Path) -> Path:
    """A corpus of some parts with a published snapshot."""
    write_jsonl(tmp_path / "source" / "recipes.jsonl", recipes(60))
    made = configuration(tmp_path, store="./store", source="./source", part_bytes="2KiB")
    run(made)
    return made


def _store(config: Path) -> str:
    return str(config.parent / "store")


def _again(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """Counts of a run that makes a new snapshot with the rows of the one before, which stays."""
    before = published(_store(config))
    code, answer, _ = kizami(capsys, *arguments, "--config", config)
    assert (code, answer["run"]["state"]) == (0, State.PUBLISHED)
    after = published(_store(config))
    assert after.pointer.snapshot != before.pointer.snapshot
    assert after.rows().equals(before.rows())
    assert after.manifest.bounds == before.manifest.bounds
    assert before.rows().num_rows == after.pointer.rows
    counts: dict[str, Any] = answer["run"]["counts"]
    assert counts["texts_analysed"] + counts["texts_reused"] == counts["texts"]
    return counts


def test_a_full_run_analyses_everything(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Though nothing changed; the bounds stay."""
    counts = _again(config, capsys, "run", "recipes", "--full")
    assert counts["texts_analysed"] == counts["texts"]
    assert (counts["parts_analysed"], counts["parts_copied"]) == (counts["parts"], 0)


def test_documents_are_analysed_again_by_id(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their texts and no others, named on the command line or in a file; parts without one of them are copied."""
    chosen = recipes(60)[20:22]
    ids = [document["recipe_id"] for document in chosen]
    counts = _again(config, capsys, "reprocess", "recipes", "--id", *ids)
    assert counts["texts_analysed"] == len(expected_texts(chosen))
    assert 0 < counts["parts_analysed"] <= 2 < counts["parts_copied"]
    (tmp_path / "ids.txt").write_text("\n".join([*ids, "", ids[0]]), "utf-8")
    assert _again(config, capsys, "reprocess", "recipes", "--ids-file", tmp_path / "ids.txt") == counts
    entry = ledger(_store(config))[0]
    assert (entry.verb, entry.outcome) == ("reprocess", "asked to analyse again: 2 documents")


def test_a_field_or_everything_is_analysed_again(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All texts of the field; or all there are."""
    counts = _again(config, capsys, "reprocess", "recipes", "--field", "title")
    assert counts["texts_analysed"] == 60
    counts = _again(config, capsys, "reprocess", "recipes", "--everything")
    assert counts["texts_analysed"] == counts["texts"]


def test_a_candidate_is_published_later(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is analysed again can be looked at first: readers see nothing of it until it is published."""
    before = published(_store(config))
    code, answer, _ = kizami(capsys, "reprocess", "recipes", "--field", "title", "--candidate", "--config", config)
    assert (code, answer["run"]["state"], answer["run"]["verb"]) == (0, State.CANDIDATE, "reprocess")
    assert answer["run"]["counts"]["texts_analysed"] == 60
    assert published(_store(config)).pointer == before.pointer
    candidate = answer["snapshot"]["snapshot"]
    assert kizami(capsys, "publish", "recipes", candidate, "--config", config)[0] == 0
    assert published(_store(config)).pointer.snapshot == candidate
    assert published(_store(config)).rows().equals(before.rows())


def test_changes_of_the_source_come_along(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a run like any other: what changed since is analysed too, and what is gone is gone."""
    documents = recipes(50)
    documents[3]["title"] = "新しい題名"
    write_jsonl(config.parent / "source" / "recipes.jsonl", documents)
    code, answer, _ = kizami(capsys, "reprocess", "recipes", "--id", documents[40]["recipe_id"], "--config", config)
    assert code == 0
    assert published(_store(config)).texts() == expected_texts(documents)
    assert answer["run"]["counts"]["texts_analysed"] == 1 + len(expected_texts([documents[40]]))


def test_unknown_ids_are_named_and_nothing_is_done(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 65, each of them in the message; no snapshot, and the ledger says why."""
    before = head(_store(config)).commits
    known = recipes(1)[0]["recipe_id"]
    code, answer, _ = kizami(capsys, "reprocess", "recipes", "--id", known, "無い", "無い2", "--config", config)
    assert code == 65
    assert "'無い', '無い2'" in answer["message"]
    assert known not in answer["message"]
    assert head(_store(config)).commits == before
    assert ledger(_store(config))[0].state is State.FAILED


def test_an_unknown_field_is_answered_with_those_there_are(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 78, before anything is begun: the ledger has no entry of it."""
    entries = len(ledger(_store(config)))
    code, answer, _ = kizami(capsys, "reprocess", "recipes", "--field", "titel", "--config", config)
    assert code == 78
    assert all(name in answer["message"] for name in ("'titel'", *RECIPE_FIELDS))
    assert len(ledger(_store(config))) == entries


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\xff\xfe"])
def test_a_file_without_ids_is_named(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    """One that is missing, empty or no UTF-8 ends with 78."""
    path = tmp_path / "ids.txt"
    if content is not None:
        path.write_bytes(content)
    code, answer, _ = kizami(capsys, "reprocess", "recipes", "--ids-file", path, "--config", config)
    assert code == 78
    assert str(path) in answer["message"]


def test_what_to_reprocess_has_to_be_said(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """None or two of the choices are a usage error; an id that is not UTF-8 is no document's."""
    for arguments in ((), ("--everything", "--field", "title")):
        with pytest.raises(SystemExit) as error:
            kizami(capsys, "reprocess", "recipes", *arguments, "--config", config)
        assert error.value.code == 2
    assert kizami(capsys, "reprocess", "recipes", "--id", "\udcff", "--config", config)[0] == 65


def test_another_analysis_is_a_full_run_without_being_asked(config: Path, tmp_path: Path) -> None:
    """A new normalisation changes the fingerprint: every text is analysed, none reused, in the bounds there were."""
    before = published(_store(config))
    other = configuration(
        tmp_path / "b", store=_store(config), source="../source", part_bytes="2KiB", more='normalisation = "none"\n'
    )
    counts = run(other).entry.counts
    assert (counts.texts_analysed, counts.texts_reused, counts.parts_copied) == (counts.texts, 0, 0)
    after = published(_store(config))
    assert after.manifest.bounds == before.manifest.bounds
    assert after.pointer.fingerprint != before.pointer.fingerprint
