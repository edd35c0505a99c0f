"""Parts made from the predecessor's rows: the rows of a full analysis, with only what changed given to the analyser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kizami import layout, part_rows, partfile
from kizami.analysis.analyser import Analysis, bundled_analyser
from kizami.encoded import STRING_COLUMNS
from kizami.errors import DataError
from kizami.manifest import PartEntry
from kizami.part_builder import BuiltPart, PartJob, build_part
from kizami.parts import split
from kizami.predecessor import PreviousPart
from kizami.renewal import EVERYTHING, NOTHING, Renewal
from kizami.sources import list_files, read_texts
from support.kitchen import RECIPE_FIELDS, Recipe, expected_texts, recipes, write_jsonl
from support.memory_store import MemoryStore


class CountingAnalyser:
    """The analyser, which remembers what it was asked; some texts it cannot analyse."""

    def __init__(self, failing: Mapping[str, str] | None = None) -> None:
        self._failing = failing or {}
        self.asked: list[str] = []

    def analyse(self, texts: Sequence[str]) -> Analysis:
        """Tokens of the texts; of a failing one none."""
        self.asked += texts
        failures = {index: self._failing[text] for index, text in enumerate(texts) if text in self._failing}
        shown = ["" if index in failures else text for index, text in enumerate(texts)]
        return Analysis(bundled_analyser().analyse(shown).tokens, failures)


class Kitchen:
    """Builds one part of a corpus again and again, each time from the last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.previous: tuple[PreviousPart, ...] = ()
        self.analyser = CountingAnalyser()

    def build(
        self,
        documents: Sequence[Recipe],
        *,
        lower: str = "",
        upper: str | None = None,
        renewal: Renewal = NOTHING,
        failing: Mapping[str, str] | None = None,
    ) -> BuiltPart:
        """The part of these documents."""
        self.analyser = CountingAnalyser(failing)
        job = PartJob(
            "recipes", "run-1", RECIPE_FIELDS, ("/dumps/a.jsonl",), 0, lower, upper, "f" * 32, self.previous, renewal
        )
        (file,) = list_files(str(write_jsonl(self.folder / "a.jsonl", documents)))
        bounds = ("", lower) if lower else ("",)
        if upper is not None:
            bounds = (*bounds, upper)
        number = 1 if lower else 0
        blocks = read_texts(file, file_index=0, id_column="recipe_id", fields=RECIPE_FIELDS)
        slices = [split(block.texts, bounds)[number] for block in blocks]
        return build_part(job, slices, self.analyser, self.store, lambda done: None)

    def publish(self, *parts: BuiltPart) -> None:
        """From here on these parts are the predecessor; staging is empty."""
        self.previous = tuple(self._published(number, part) for number, part in enumerate(parts))
        self.store.delete([info.key for info in self.store.list(layout.staging_prefix("recipes"))])

    def _published(self, number: int, part: BuiltPart) -> PreviousPart:
        location = f"v1/recipes/snapshots/old/{number}.parquet"
        self.store.copy(part.copied_from or layout.staging_key("recipes", part.key), location)
        report = part.report
        entry = PartEntry(
            name="x",
            lower=part.lower,
            key=part.key,
            rows=report.rows,
            tokens=report.tokens,
            unknown_tokens=report.unknown_tokens,
            size_bytes=report.size_bytes,
            sha256=report.sha256,
            quarantined=len(part.quarantined),
            failed=part.failed,
        )
        return PreviousPart(location, entry)

    def file(self, part: BuiltPart) -> Path:
        """A part, until another is asked for."""
        return self._downloaded(part.copied_from or layout.staging_key("recipes", part.key))

    def rows(self, part: BuiltPart) -> pa.Table:
        """The rows of a part."""
        return pq.read_table(self.file(part))

    def predecessor(self) -> Path:
        """The predecessor's first part, until another is asked for."""
        return self._downloaded(self.previous[0].location)

    def _downloaded(self, key: str) -> Path:
        path = self.folder / "part.parquet"
        self.store.download(key, path)
        return path


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    """A kitchen whose predecessor is a part of 60 recipes."""
    made = Kitchen(tmp_path)
    made.publish(made.build(recipes(60)))
    return made


@pytest.fixture
def fresh(tmp_path: Path) -> Kitchen:
    """A kitchen without a predecessor."""
    (tmp_path / "fresh").mkdir()
    return Kitchen(tmp_path / "fresh")


def _surfaces(path: Path) -> list[str]:
    """The dictionary of the surfaces of a part with one row group."""
    with pq.ParquetFile(path, read_dictionary=["surface.list.element"]) as file:
        dictionary: list[str] = file.read_row_group(0)["surface"].chunk(0).flatten().dictionary.to_pylist()
    return dictionary


def _texts(documents: Sequence[Recipe]) -> list[str]:
    return [text for *_, text in expected_texts(documents)]


@pytest.mark.parametrize("kept", [3, 58])
def test_a_file_holds_no_word_of_other_texts(kept: int, kitchen: Kitchen) -> None:
    """Neither of those that are gone, nor of what the worker analysed before, which changes no byte."""
    gone = [{**each, "title": f"{each['title']}と砕氷船"} for each in recipes(60)[kept:]]
    kitchen.publish(kitchen.build([*recipes(60)[:kept], *gone]))
    documents = [*recipes(60)[:kept], *recipes(80)[60:]]
    bundled_analyser().forget()
    first = kitchen.build(documents).report.sha256
    kitchen.store.delete([info.key for info in kitchen.store.list(layout.staging_prefix("recipes"))])
    bundled_analyser().forget()
    bundled_analyser().analyse(["憲法は、天皇の国事行為について定める。", "博士論文を執筆した。"])
    part = kitchen.build(documents)
    assert part.report.sha256 == first
    assert 0 < part.taken_over < part.texts
    with pq.ParquetFile(
        kitchen.file(part), read_dictionary=[f"{name}.list.element" for name in STRING_COLUMNS]
    ) as file:
        columns = file.read_row_group(0)
    for name in STRING_COLUMNS:
        values = columns[name].chunk(0).flatten()
        assert set(values.dictionary.to_pylist()) == {value for value in values.to_pylist() if value is not None}, name


def test_only_new_texts_are_analysed(kitchen: Kitchen, fresh: Kitchen) -> None:
    """Edits, additions and deletions in one part ask the analyser for the new texts; the rows are those of a full
    run."""
    documents = recipes(70, first=3)
    documents[9] = {**documents[9], "title": "新しい題名その一"}
    documents[40] = {**documents[40], "steps": ["新しい手順。", *documents[40]["steps"]]}
    part = kitchen.build(documents)
    old = set(_texts(recipes(60)))
    assert kitchen.analyser.asked == [text for text in _texts(documents) if text not in old]
    assert (part.analysed, part.taken_over) == (len(kitchen.analyser.asked), part.texts - part.analysed)
    assert part.analysed > 5
    full = fresh.build(documents)
    assert kitchen.rows(part).equals(fresh.rows(full))
    assert (part.key, replace(part.report, size_bytes=0, sha256="")) == (
        full.key,
        replace(full.report, size_bytes=0, sha256=""),
    )


def test_row_groups_and_batches_do_not_matter(
    kitchen: Kitchen, fresh: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows from many small row groups, stretches of a few texts each, give the rows of a full run."""
    monkeypatch.setattr(partfile, "ROW_GROUP_ROWS", 7)
    monkeypatch.setattr(part_rows, "BATCH_BYTES", 200)
    again = kitchen.build(recipes(60), renewal=EVERYTHING)
    kitchen.publish(again)
    documents = [
        {**document, "recipe_id": f"z{number % 17}{document['recipe_id']}"}
        for number, document in enumerate(recipes(80, first=20))
    ]
    part = kitchen.build(documents)
    assert 0 < len(kitchen.analyser.asked) < part.texts // 2
    assert kitchen.rows(part).equals(fresh.rows(fresh.build(documents)))


def test_what_is_taken_over_keeps_its_codes(kitchen: Kitchen, fresh: Kitchen) -> None:
    """A row group of which a little changed has the dictionaries of the one before, less what is gone, and what is new
    behind them; rows are those of a full run, whose dictionaries begin with what is frequent today."""
    documents = recipes(60)
    documents[30] = {**documents[30], "title": "鯛" * 3}
    part, full = kitchen.build(documents), fresh.build(documents)
    assert kitchen.rows(part).equals(fresh.rows(full))
    before, now = _surfaces(kitchen.predecessor()), _surfaces(kitchen.file(part))
    anew = _surfaces(fresh.file(full))
    assert "鯛" not in before
    assert now == [*(surface for surface in before if surface in anew), "鯛"]
    assert anew.index("鯛") < len(before)
    assert part.taken_over == part.texts - 1


def test_a_text_that_moved_to_another_document_is_taken_over(kitchen: Kitchen) -> None:
    """Documents under new ids, and texts in other fields and positions, ask no analyser."""
    documents: list[Recipe] = [
        {**document, "recipe_id": f"新-{document['recipe_id']}", "steps": document["steps"][::-1]}
        for document in recipes(60)
    ]
    documents[0]["title"], documents[1]["title"] = documents[1]["title"], documents[0]["title"]
    part = kitchen.build(documents)
    assert (kitchen.analyser.asked, part.analysed) == ([], 0)
    rows = kitchen.rows(part).select(["doc_id", "field", "position", "text"])
    assert list(zip(*rows.to_pydict().values(), strict=True)) == expected_texts(documents)


def test_a_part_made_of_two_takes_rows_from_both(kitchen: Kitchen, tmp_path: Path) -> None:
    """Where bounds moved, and one of the two holds a text twice, nothing is analysed again."""
    ids = sorted(document["recipe_id"] for document in recipes(60))
    kitchen.previous = ()
    kitchen.publish(kitchen.build(recipes(60), upper=ids[30]), kitchen.build(recipes(60), lower=ids[30]))
    part = kitchen.build(recipes(60), lower=ids[10], upper=ids[50])
    assert kitchen.analyser.asked == []
    assert part.documents == 40
    joined = kitchen.build(recipes(60))
    assert (kitchen.analyser.asked, joined.taken_over) == ([], joined.texts)


def test_what_could_not_be_analysed_is_tried_again(kitchen: Kitchen) -> None:
    """A text that failed is given to the analyser again, alone; when it succeeds, it is a row and no quarantine."""
    documents = recipes(12)
    failing = documents[5]["title"]
    kitchen.previous = ()
    kitchen.publish(kitchen.build(documents, failing={failing: "MeCab hung"}))
    again = kitchen.build(documents, failing={failing: "MeCab hung"})
    assert kitchen.analyser.asked == [failing]
    assert (again.failed, len(again.quarantined), again.copied_from) == (1, 1, None)
    kitchen.publish(again)
    healed = kitchen.build(documents)
    assert kitchen.analyser.asked == [failing]
    assert (healed.failed, len(healed.quarantined), healed.report.rows) == (0, 0, healed.texts)


def test_a_part_whose_sound_texts_are_the_same_is_not_written(kitchen: Kitchen) -> None:
    """A held-back document more, or on another line, makes other rows of quarantine; the file is the predecessor's."""
    twice: Recipe = {"recipe_id": "二重", "title": "一つ目"}
    part = kitchen.build([*recipes(60), twice, {**twice, "title": "二つ目"}])
    assert part.copied_from == kitchen.previous[0].location
    assert [row["line"] for row in part.quarantined.to_pylist()] == [61, 62]
    assert (part.analysed, part.texts, part.documents) == (0, part.report.rows + 2, 61)
    kitchen.publish(part)
    moved = kitchen.build([twice, {**twice, "title": "三つ目"}, *recipes(60)])
    assert moved.copied_from is not None
    assert [row["line"] for row in moved.quarantined.to_pylist()] == [1, 2]


def test_a_renewal_analyses_what_it_names(kitchen: Kitchen) -> None:
    """By id the texts of those documents, by field those of the field, else everything; the rest is taken over."""
    documents = recipes(60)
    chosen = sorted(document["recipe_id"] for document in documents[7:9])
    kitchen.build(documents, renewal=Renewal(ids=tuple(chosen)))
    named = _texts(sorted(documents[7:9], key=lambda document: document["recipe_id"]))
    assert kitchen.analyser.asked == list(dict.fromkeys(named))  # equal texts once
    kitchen.publish(kitchen.build(documents, renewal=EVERYTHING))
    assert kitchen.analyser.asked == list(dict.fromkeys(_texts(documents)))
    kitchen.build(documents, renewal=Renewal(field="title"))
    titles = (text for _, field, _, text in expected_texts(documents) if field == "title")
    assert kitchen.analyser.asked == list(dict.fromkeys(titles))


def test_a_staged_part_with_rows_taken_over_is_no_renewed_one(kitchen: Kitchen) -> None:
    """What an incremental run left in staging is analysed by a full run all the same; what a full run left is not."""
    documents = recipes(61)
    assert kitchen.build(documents).taken_over > 0
    assert kitchen.build(documents).reused
    kitchen.previous, previous = (), kitchen.previous
    full = kitchen.build(documents, renewal=EVERYTHING)
    assert (full.reused, full.analysed, full.taken_over) == (False, full.texts, 0)
    assert kitchen.build(documents, renewal=EVERYTHING).reused
    kitchen.previous = previous
    assert kitchen.build(documents).reused


@pytest.mark.parametrize(("body", "what"), [(None, "is missing"), (b"PAR1", "is not what was published")])
def test_a_damaged_predecessor_is_named(kitchen: Kitchen, body: bytes | None, what: str) -> None:
    """Rows are only taken over from the bytes that were published; the message says how to do without."""
    (previous,) = kitchen.previous
    kitchen.store.delete([previous.location])
    if body is not None:
        kitchen.store.put(previous.location, body)
    with pytest.raises(DataError, match=rf"old/0\.parquet.*{what}.*--full"):
        kitchen.build(recipes(61))


def test_an_empty_predecessor_gives_nothing(kitchen: Kitchen) -> None:
    """A part without a row group, or a part that becomes empty, is like any other."""
    kitchen.previous = ()
    kitchen.publish(kitchen.build([]))
    part = kitchen.build(recipes(5))
    assert part.analysed == part.texts == len(expected_texts(recipes(5)))
    kitchen.publish(part)
    assert kitchen.build([]).report.rows == 0
