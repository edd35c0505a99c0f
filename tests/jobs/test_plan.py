"""What `kizami plan` tells is what the run then does; and it leaves no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kizami.stores import open_store
from support.job import configuration, kizami, run
from support.kitchen import expected_texts, recipes, write_jsonl

pytestmark = pytest.mark.ray


@pytest.fixture
def config(local_ray: int, tmp_path: Path) -> Path:
    """A corpus of some parts, nothing published."""
    write_jsonl(tmp_path / "source" / "recipes.jsonl", recipes(60))
    return configuration(tmp_path, store="./store", source="./source", part_bytes="2KiB")


def _plan(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The answer of `kizami plan`, which changes nothing in the store."""
    before = _contents(config)
    code, answer, _ = kizami(capsys, "plan", "recipes", *arguments, "--config", config)
    assert code == 0
    assert _contents(config) == before
    plan: dict[str, Any] = answer
    return plan


def _contents(config: Path) -> dict[str, bytes]:
    store = open_store(str(config.parent / "store"))
    if not (config.parent / "store").is_dir():
        return {}
    return {info.key: store.get(info.key).body for info in store.list("")}


def test_a_plan_is_what_the_run_does(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first run, and after edits, deletions, additions, a move and a document at fault."""
    first = _plan(config, capsys)
    texts = len(expected_texts(recipes(60)))
    assert first["texts"] == {"new": texts, "changed": 0, "gone": 0, "unchanged": 0, "held_back": 0}
    assert (first["texts_analysed"], first["predecessor"], first["seconds"]) == (texts, None, None)
    counts = run(config).entry.counts
    assert (counts.texts_analysed, counts.parts) == (first["texts_analysed"], first["parts"])

    documents = recipes(66)
    gone = documents.pop(11)
    documents[3]["title"] = "新しい題名"
    documents[30] = {**documents[30], "steps": [documents[5]["title"], *documents[30]["steps"]]}
    lines = [*documents, {"recipe_id": "あやまり", "title": 5, "steps": ["卵"]}]
    write_jsonl(config.parent / "source" / "recipes.jsonl", lines)
    before = {row[:3]: row[3] for row in expected_texts(recipes(60))}
    after = {row[:3]: row[3] for row in expected_texts(documents)}
    second = _plan(config, capsys)
    assert second["texts"] == {
        "new": len(after.keys() - before.keys()),
        "changed": sum(after[key] != before[key] for key in after.keys() & before.keys()),
        "gone": len(before.keys() - after.keys()),
        "unchanged": sum(after[key] == before[key] for key in after.keys() & before.keys()),
        "held_back": 2,
    }
    assert second["texts"]["gone"] >= len(expected_texts([gone]))
    assert second["seconds"] > 0
    counts = run(config).entry.counts
    for name in ("texts_analysed", "texts_reused", "parts", "parts_copied"):
        assert getattr(counts, name) == second[name], name
    assert 0 < counts.texts_analysed < counts.texts_reused


def test_a_plan_says_when_there_is_nothing_to_do(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The input is that of the date's snapshot; for another date the parts would be copied, with --full written."""
    snapshot = run(config).pointer.snapshot
    plan = _plan(config, capsys)
    assert plan["published"] == plan["predecessor"] == snapshot
    other = _plan(config, capsys, "--date", "2020-01-01", "--as-of-now")
    assert (other["published"], other["texts_analysed"], other["parts_copied"]) == (None, 0, other["parts"])
    full = _plan(config, capsys, "--full")
    assert (full["published"], full["texts_reused"], full["parts_copied"]) == (None, 0, 0)
    assert full["texts_analysed"] == full["texts"]["unchanged"] == len(expected_texts(recipes(60)))


@pytest.mark.s3
def test_a_plan_reads_a_snapshot_on_s3(
    config: Path, tmp_path: Path, s3_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows compared with are read where they lie."""
    there = configuration(tmp_path / "s3", store=f"{s3_url}/store", source="../source", part_bytes="2KiB")
    run(there)
    write_jsonl(config.parent / "source" / "recipes.jsonl", recipes(59))
    code, plan, _ = kizami(capsys, "plan", "recipes", "--config", there)
    assert code == 0
    assert plan["texts"]["gone"] == len(expected_texts([recipes(60)[59]]))
    counts = run(there).entry.counts
    assert (counts.texts_analysed, counts.parts_copied) == (plan["texts_analysed"], plan["parts_copied"])
