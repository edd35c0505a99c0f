"""Building one part, without Ray: the same texts give the same file, and a text that fails is held back, not lost."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kizami import layout, part_rows
from kizami.analysis.analyser import Analyser, Analysis, bundled_analyser
from kizami.analysis.contract import TextAnalyser
from kizami.analysis.guard import GuardedAnalyser
from kizami.errors import DataError
from kizami.part_builder import BuiltPart, Done, PartJob, build_part
from kizami.parts import Bounds, split
from kizami.sources import list_files, read_texts
from kizami.texts import Reason
from support.kitchen import RECIPE_FIELDS, expected_texts, recipes, write_jsonl
from support.memory_store import MemoryStore
from support.planted import CRASH, PlantedAnalyser


class FailingAnalyser(Analyser):
    """The analyser, but for some texts that it cannot analyse."""

    def __init__(self, failing: Mapping[str, str]) -> None:
        self._real = bundled_analyser()
        self._failing = failing
        self.asked = 0

    def analyse(self, texts: Sequence[str]) -> Analysis:
        self.asked += len(texts)
        failures = {index: self._failing[text] for index, text in enumerate(texts) if text in self._failing}
        shown = ["" if index in failures else text for index, text in enumerate(texts)]
        return Analysis(self._real.analyse(shown).tokens, failures)


def _job(number: int = 0, lower: str = "", upper: str | None = None, run: str = "run-1") -> PartJob:
    return PartJob("recipes", run, RECIPE_FIELDS, ("/dumps/a.jsonl",), number, lower, upper, "f" * 32)


def _build(
    texts: Sequence[pa.Table], store: MemoryStore, analyser: TextAnalyser | None = None, job: PartJob | None = None
) -> BuiltPart:
    return build_part(job or _job(), texts, analyser or bundled_analyser(), store, lambda done: None)


def _read(path: Path, block_bytes: int = 8 << 20) -> list[pa.Table]:
    return [
        block.texts
        for index, file in enumerate(list_files(str(path)))
        for block in read_texts(
            file, file_index=index, id_column="recipe_id", fields=RECIPE_FIELDS, block_bytes=block_bytes
        )
    ]


def _staged(store: MemoryStore, part: BuiltPart, folder: Path) -> pa.Table:
    path = folder / f"{part.key}.parquet"
    store.download(layout.staging_key("recipes", part.key), path)
    return pq.read_table(path)


def test_a_text_that_cannot_be_analysed_is_held_back(tmp_path: Path) -> None:
    """It goes to quarantine with reason, message, file and line; the rows are all the others, in order."""
    documents = recipes(12)
    failing = documents[5]["title"]
    analyser = FailingAnalyser({failing: "MeCab dropped a part of the text"})
    store = MemoryStore()
    part = _build(_read(write_jsonl(tmp_path / "a.jsonl", documents)), store, analyser)
    everything = expected_texts(documents)
    assert part.quarantined.to_pylist() == [
        {
            "doc_id": documents[5]["recipe_id"],
            "field": "title",
            "position": 0,
            "reason": Reason.ANALYSIS_FAILED,
            "message": "MeCab dropped a part of the text",
            "file": "/dumps/a.jsonl",
            "line": 6,
        }
    ]
    rows = _staged(store, part, tmp_path).select(["doc_id", "field", "position", "text"])
    assert [tuple(row.values()) for row in rows.to_pylist()] == [row for row in everything if row[3] != failing]
    assert (part.texts, part.report.rows, part.analysed) == (len(everything), len(everything) - 1, len(everything))


def test_progress_counts_documents_of_which_no_text_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch by batch, whatever documents a batch cuts in two; in the end those without a sound text, too."""
    documents = [*recipes(12), {"recipe_id": "zz-broken", "title": 7}, {"recipe_id": "zz-empty"}]
    rows = list(expected_texts(documents[:12]))
    last = {row[0]: number for number, row in enumerate(rows, start=1)}
    monkeypatch.setattr(part_rows, "BATCH_BYTES", 64)
    told: list[Done] = []
    texts = _read(write_jsonl(tmp_path / "a.jsonl", documents))
    part = build_part(_job(), texts, bundled_analyser(), MemoryStore(), told.append)
    *steps, end = told
    assert len(steps) > 12
    for done in steps:
        assert done.documents == sum(end <= done.texts for end in last.values())
    assert steps[-1] == Done(len(rows), 12)
    assert end == Done(part.texts, part.documents) == Done(len(rows) + 1, 14)


def test_a_part_found_finished_tells_its_failures_again(tmp_path: Path) -> None:
    """Taken over from staging by another run, the part asks no analyser and reports the same quarantine."""
    documents = recipes(12)
    texts = _read(write_jsonl(tmp_path / "a.jsonl", documents))
    store = MemoryStore()
    failing = {documents[5]["title"]: "a", documents[7]["title"]: "b"}
    first = _build(texts, store, FailingAnalyser(failing))
    analyser = FailingAnalyser({})
    second = _build(texts, store, analyser, _job(run="run-2"))
    assert second.reused
    assert (analyser.asked, second.analysed) == (0, 0)
    assert second.quarantined.equals(first.quarantined)
    assert len(second.quarantined) == 2
    assert (second.key, second.report, second.texts) == (first.key, first.report, first.texts)


def test_a_text_that_crashes_its_process_is_held_back_for_good(tmp_path: Path) -> None:
    """Built with the guard, the part tells that text as any other failure; found finished, it tells it again."""
    documents = recipes(12)
    documents[5]["title"] = f"{CRASH}の鍋"
    texts = _read(write_jsonl(tmp_path / "a.jsonl", documents))
    store = MemoryStore()
    with GuardedAnalyser(PlantedAnalyser, 60) as analyser:
        part = _build(texts, store, analyser)
    (held,) = part.quarantined.to_pylist()
    assert (held["doc_id"], held["field"], held["line"]) == (documents[5]["recipe_id"], "title", 6)
    assert (held["reason"], held["message"]) == (Reason.ANALYSIS_FAILED, "MeCab crashed (SIGSEGV)")
    assert part.report.rows == part.texts - 1
    again = _build(texts, store, job=_job(run="run-2"))
    assert again.reused
    assert again.quarantined.equals(part.quarantined)


def test_a_part_of_which_every_text_fails_has_no_rows(tmp_path: Path) -> None:
    """Nothing but failures makes a file without row groups and a full quarantine."""
    documents = [{"recipe_id": "卵", "title": "卵焼き", "ingredients": [], "steps": []}]
    store = MemoryStore()
    part = _build(_read(write_jsonl(tmp_path / "a.jsonl", documents)), store, FailingAnalyser({"卵焼き": "no"}))
    assert (part.report.rows, len(part.quarantined), part.texts) == (0, 1, 1)
    assert len(_staged(store, part, tmp_path)) == 0


def test_failures_far_into_a_part_name_the_right_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches do not shift them."""
    monkeypatch.setattr(part_rows, "BATCH_BYTES", 200)
    documents = recipes(40)
    wanted = {document["title"]: document["title"] for document in documents[::9]}
    part = _build(_read(write_jsonl(tmp_path / "a.jsonl", documents)), MemoryStore(), FailingAnalyser(wanted))
    found = {row["message"]: row["doc_id"] for row in part.quarantined.to_pylist()}
    assert found == {document["title"]: document["recipe_id"] for document in documents[::9]}


def test_blocks_files_and_orders_do_not_show_in_the_parts(tmp_path: Path) -> None:
    """Whatever the size of blocks, the files and the order of documents, every part is the same to the byte."""
    documents = recipes(50)
    bounds: Bounds = ("", "だし巻き卵-0011", "味噌汁-0009", "肉じゃが-0016", "Ａランチ-0031")
    seen = set()
    for seed, (block_bytes, files) in enumerate([(8 << 20, 1), (1, 1), (300, 3), (2000, 7), (77, 50)]):
        folder = tmp_path / str(seed)
        order = random.Random(seed).sample(documents, len(documents))
        for file in range(files):
            write_jsonl(folder / f"{file:02}.jsonl", order[file::files])
        slices = [split(block, bounds) for block in _read(folder, block_bytes)]
        store = MemoryStore()
        for number, (lower, upper) in enumerate(zip(bounds, [*bounds[1:], None], strict=True)):
            _build([cut[number] for cut in slices], store, job=_job(number, lower, upper))
        objects = sorted((key, hashlib.sha256(body).hexdigest()) for key, (body, _) in store.objects.items())
        seen.add(tuple(objects))
        assert len(objects) == len(bounds)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"text": "塩をふる"},
        {"recipe_id": "別の料理"},
        {"extra": True},
        {"lower": "あ"},
        {"upper": "ん"},
        {"fingerprint": "0" * 32},
        {"fields": ("steps", "title", "ingredients.name")},
    ],
    ids=str,
)
def test_whatever_decides_a_part_changes_its_key(tmp_path: Path, change: dict[str, Any]) -> None:
    """Texts, ids, bounds, fingerprint and the order of fields ask for another key."""
    document = {"recipe_id": "味噌汁", "title": "味噌汁", "steps": ["煮る"]}
    first = _build(_read(write_jsonl(tmp_path / "a.jsonl", [document])), MemoryStore())
    changed = {**document, "title": change.get("text", "味噌汁"), "recipe_id": change.get("recipe_id", "味噌汁")}
    documents = [changed, {"recipe_id": "飯", "title": "飯"}] if "extra" in change else [changed]
    job = _job()
    job = PartJob(
        job.corpus,
        job.run,
        change.get("fields", job.fields),
        job.files,
        job.number,
        change.get("lower", job.lower),
        change.get("upper", job.upper),
        change.get("fingerprint", job.fingerprint),
    )
    second = _build(_read(write_jsonl(tmp_path / "b.jsonl", documents)), MemoryStore(), job=job)
    assert second.key != first.key


def test_a_staged_part_of_another_content_is_refused(tmp_path: Path) -> None:
    """What stands under the key and has another number of rows is not published."""
    texts = _read(write_jsonl(tmp_path / "a.jsonl", recipes(5)))
    store = MemoryStore()
    part = _build(texts, store)
    other = _build(_read(write_jsonl(tmp_path / "b.jsonl", recipes(3))), store)
    store.put(layout.staging_key("recipes", part.key), store.get(layout.staging_key("recipes", other.key)).body)
    with pytest.raises(DataError, match="delete it and start the run again"):
        _build(texts, store)
