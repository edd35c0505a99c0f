"""Two versions of the schema side by side, end to end: one analysis, two snapshots under one name."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import kizami
from kizami import layout
from kizami.errors import UnavailableError
from kizami.ledger import State
from kizami.readers import find_pointer
from kizami.renewal import EVERYTHING
from kizami.stores import open_store
from kizami_jobs.daily import RunResult
from support.faulty_s3 import FaultyStore
from support.job import configuration, run
from support.job import kizami as command
from support.kitchen import expected_texts, recipes, write_jsonl
from support.kizami_process import KizamiProcess
from support.next_version import V2, derive, install
from support.store_contents import Published, head, ledger, published, staged

pytestmark = pytest.mark.ray

YESTERDAY, TODAY = "2026-11-22", "2026-11-23"
BOTH = "schemas = [1, 2]\n"


@pytest.fixture(autouse=True)
def _version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: int) -> None:
    """Version 2 is that of an installed package."""
    install(tmp_path / "installed", monkeypatch)


class Kitchen:
    """A corpus whose source and configuration change."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        self._store = store
        self.overlap(True)

    def overlap(self, is_on: bool) -> Path:
        """Write the configuration, with both versions or the first alone."""
        more = BOTH if is_on else ""
        self.path = configuration(self.folder, store=self._store, source="./source", part_bytes="2KiB", more=more)
        return self.path

    @property
    def store(self) -> str:
        """URL of the store."""
        return self._store if "://" in self._store else str(self.folder / self._store)

    def cook(self, count: int, day: str = TODAY, **asked: Any) -> RunResult:
        """A run over so many recipes."""
        write_jsonl(self.folder / "source" / "recipes.jsonl", recipes(count))
        return run(self.path, day=day, as_of_now=True, **asked)

    def both(self, day: str | None = None) -> tuple[Published, Published]:
        """What readers of the two versions see."""
        return published(self.store, date=day), published(self.store, date=day, schema=2)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def kitchen(request: pytest.FixtureRequest, tmp_path: Path) -> Kitchen:
    """One in a folder, and one on S3."""
    return Kitchen(tmp_path, "store" if request.param == "local" else request.getfixturevalue("s3_url"))


@pytest.fixture
def local(tmp_path: Path) -> Kitchen:
    """One in a folder."""
    return Kitchen(tmp_path, "store")


def _assert_derived(first: Published, second: Published) -> None:
    """The second snapshot is the first, under the same name, with what the version adds."""
    assert second.pointer.in_schema(1) == first.pointer
    assert second.path == f"{first.path.replace('/v1/', '/v2/')}"
    rows = second.rows()
    assert rows.schema.equals(V2.schema)
    assert rows.equals(derive(first.rows()).combine_chunks().cast(V2.schema))
    assert [part.lower for part in second.manifest.parts] == [part.lower for part in first.manifest.parts]
    assert second.manifest.counts == first.manifest.counts
    assert (second.manifest.schema, first.manifest.schema) == ("2.0", "1.0")


def test_one_run_publishes_both(kitchen: Kitchen) -> None:
    """Every text is analysed once; both folders hold the same rows, the second one column more, and pandas reads it
    from the path that one asks for by number."""
    result = kitchen.cook(40)
    first, second = kitchen.both()
    _assert_derived(first, second)
    assert first.texts() == expected_texts(recipes(40))
    counts, parts = result.entry.counts, len(first.manifest.parts)
    assert parts > 3
    assert counts.texts_analysed == counts.texts == len(first.texts())
    assert (counts.parts_analysed, counts.parts_derived, result.entry.schemas) == (parts, parts, (1, 2))
    assert staged(kitchen.store) == []
    assert head(kitchen.store).commits == 1
    path = kizami.snapshot_path(kitchen.store, "recipes", schema=2)
    assert path == second.path
    assert len(pd.read_parquet(path, columns=["doc_id", "reading"])) == counts.rows


def test_the_files_of_the_first_are_those_of_a_run_without_the_second(tmp_path: Path) -> None:
    """To the byte before the footer, which names the run; manifest and pointer have the same members and, but for names
    and times, the same values."""
    sides = [Kitchen(tmp_path / name, "store") for name in ("with", "without")]
    sides[1].overlap(False)
    entries = [side.cook(40).entry for side in sides]
    found = [published(side.store) for side in sides]
    assert not list(open_store(sides[1].store).list("v2/"))
    assert entries[0].fingerprint == entries[1].fingerprint
    for parts in zip(*(each.manifest.parts for each in found), strict=True):
        pages = []
        for each, part in zip(found, parts, strict=True):
            body = Path(each.path, part.name).read_bytes()
            pages.append(body[: -8 - int.from_bytes(body[-8:-4], "little")])
            assert pq.read_schema(Path(each.path, part.name)).metadata[b"kizami.schema"] == b"1.0"
        assert len(pages[0]) > 1000
        assert pages[0] == pages[1]
    footers = [pq.read_metadata(Path(each.path, "part-00000.parquet")) for each in found]
    assert set(footers[0].metadata) == set(footers[1].metadata)
    assert footers[0].row_group(0).to_dict() == footers[1].row_group(0).to_dict()
    manifests = [_comparable(asdict(each.manifest)) for each in found]
    assert manifests[0] == manifests[1]
    pointers = [json.loads(open_store(side.store).get(layout.latest_key("recipes")).body) for side in sides]
    assert list(pointers[0]) == list(pointers[1])


def _comparable(manifest: dict[str, Any]) -> dict[str, Any]:
    """Without names and times, and the digests of bytes that have the run's id in them."""
    kept = {name: value for name, value in manifest.items() if name not in {"snapshot", "created_at", "provenance"}}
    return kept | {"parts": [{**part, "sha256": ""} for part in manifest["parts"]]}


def test_the_first_day_of_an_overlap_analyses_nothing_again(
    kitchen: Kitchen, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unchanged source is published once more, now in both: parts are copied, the second version's derived from
    them; after that there is nothing to do. `plan` says so before and after."""
    kitchen.overlap(False)
    alone = kitchen.cook(40)
    before = published(kitchen.store)
    config = kitchen.overlap(True)
    plan = ("plan", "recipes", "--date", TODAY, "--as-of-now", "--config", config)
    planned = command(capsys, *plan)[1]
    assert planned["published"] is None
    result = kitchen.cook(40)
    first, second = kitchen.both()
    _assert_derived(first, second)
    parts = len(first.manifest.parts)
    counts = result.entry.counts
    assert result.entry.state is State.PUBLISHED
    assert (counts.texts_analysed, counts.parts_copied, counts.parts_derived) == (0, parts, parts)
    assert (planned["parts_copied"], planned["parts_derived"]) == (parts, parts)
    assert result.entry.fingerprint == alone.entry.fingerprint
    assert first.manifest.input_digest == before.manifest.input_digest
    assert [part.sha256 for part in first.manifest.parts] == [part.sha256 for part in before.manifest.parts]
    assert staged(kitchen.store) == []
    again = kitchen.cook(40)
    assert (again.entry.state, again.pointer) == (State.UNCHANGED, first.pointer)
    assert command(capsys, *plan)[1]["published"] == first.pointer.snapshot


def test_unchanged_parts_are_copied_for_both(kitchen: Kitchen, capsys: pytest.CaptureFixture[str]) -> None:
    """The next day derives what it made, and no more, as `plan` says; a part that did not change is the same to the
    byte in each."""
    kitchen.cook(40, YESTERDAY)
    old = kitchen.both()
    write_jsonl(kitchen.folder / "source" / "recipes.jsonl", recipes(41))
    planned = command(capsys, "plan", "recipes", "--date", TODAY, "--as-of-now", "--config", kitchen.path)[1]
    result = kitchen.cook(41)
    new = kitchen.both()
    _assert_derived(*new)
    counts = result.entry.counts
    assert 0 < counts.parts_analysed < counts.parts_copied
    assert counts.parts_derived == counts.parts_analysed == planned["parts_derived"]
    for before, after in zip(old, new, strict=True):
        common = {part.sha256 for part in before.manifest.parts} & {part.sha256 for part in after.manifest.parts}
        assert len(common) == counts.parts_copied
    assert kitchen.both(YESTERDAY) == old


def test_what_is_analysed_again_is_derived_again(local: Kitchen) -> None:
    """`run --full` takes up no part of the predecessor, in neither version."""
    local.cook(20)
    counts = local.cook(20, renewal=EVERYTHING).entry.counts
    assert (counts.parts_analysed, counts.parts_derived) == (counts.parts, counts.parts)
    _assert_derived(*local.both())


def test_texts_held_back_are_held_back_in_both(local: Kitchen) -> None:
    """What could not be taken in is counted in both manifests, which name one quarantine."""
    write_jsonl(local.folder / "source" / "twice.jsonl", recipes(1))
    local.cook(20)
    first, second = local.both()
    _assert_derived(first, second)
    assert first.manifest.quarantine == second.manifest.quarantine
    assert len(second.quarantine()) == first.manifest.counts.quarantined > 0
    assert local.cook(21).entry.counts.texts_analysed < 10
    _assert_derived(*local.both())


def test_an_empty_corpus_is_published_in_both(local: Kitchen) -> None:
    """One part without row groups, in each version's columns."""
    local.cook(0, allow_empty=True)
    _assert_derived(*local.both())


def test_the_end_of_an_overlap(kitchen: Kitchen) -> None:
    """Without it in the configuration nothing is made in the second version any more, nothing is analysed again, and
    what was published in it stays until its date goes; on another date it begins again."""
    kitchen.cook(40, YESTERDAY)
    last = kitchen.both()[1]
    kitchen.overlap(False)
    assert kitchen.cook(40, YESTERDAY).entry.state is State.UNCHANGED
    result = kitchen.cook(40)
    assert (result.entry.counts.texts_analysed, result.entry.counts.parts_derived) == (0, 0)
    assert published(kitchen.store).pointer == result.pointer
    assert published(kitchen.store, schema=2) == last
    assert len(last.rows()) == last.pointer.rows
    kitchen.overlap(True)
    assert kitchen.cook(40).entry.counts.texts_analysed == 0
    _assert_derived(*kitchen.both())


def test_readers_of_the_first_notice_nothing(local: Kitchen) -> None:
    """One that follows ``latest.json`` again and again, over an overlap's beginning, days and end, reads whole
    snapshots of the first version's columns, and a pointer of the members that it knows."""
    local.overlap(False)
    local.cook(20, YESTERDAY)
    opened = open_store(local.store)
    members = list(json.loads(opened.get(layout.latest_key("recipes")).body))
    columns = published(local.store).rows().schema
    done = threading.Event()
    faults: list[str] = []
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            body = json.loads(opened.get(layout.latest_key("recipes")).body)
            rows = pq.read_table(f"{local.store}/{body['path']}")
            if list(body) != members or not rows.schema.remove_metadata().equals(columns.remove_metadata()):
                faults.append(str(body))
            if len(rows) != body["rows"]:
                faults.append(f"{len(rows)} rows where {body} says {body['rows']}")
            if not seen or seen[-1] != len(rows):
                seen.append(len(rows))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for is_on, count in ((True, 20), (True, 22), (True, 24), (False, 26)):
            local.overlap(is_on)
            local.cook(count)
            deadline = time.monotonic() + 60
            while (not seen or seen[-1] != len(expected_texts(recipes(count)))) and time.monotonic() < deadline:
                time.sleep(0.01)  # the reader comes to each day, however slow the machine
    finally:
        done.set()
        reader.join()
    assert faults == []
    assert seen == [len(expected_texts(recipes(count))) for count in (20, 22, 24, 26)]


def test_the_command_line(local: Kitchen, capsys: pytest.CaptureFixture[str]) -> None:
    """`path --schema` names the second's folder, `verify` compares both, a candidate is published in both, `rollback`
    goes back in both, `history` says which versions a run made."""
    first = local.cook(20, YESTERDAY).pointer
    code, answer, _ = command(capsys, "path", "recipes", "--schema", "2", "--config", local.path)
    assert (code, answer["path"]) == (0, f"{local.store}/{first.in_schema(2).path}")
    candidate = local.cook(22, candidate=True).pointer
    assert find_pointer(open_store(local.store), "recipes", schema=2) == first.in_schema(2)
    code, answer, _ = command(capsys, "publish", "recipes", candidate.snapshot, "--config", local.path)
    assert (code, answer["run"]["schemas"]) == (0, [1, 2])
    _assert_derived(*local.both())
    code, answer, _ = command(capsys, "verify", "recipes", "--config", local.path)
    assert (code, answer["schemas"], answer["parts"]) == (0, [1, 2], 2 * len(local.both()[0].manifest.parts))
    assert command(capsys, "rollback", "recipes", first.snapshot, "--config", local.path)[0] == 0
    assert [each.pointer.snapshot for each in local.both()] == [first.snapshot] * 2
    assert ledger(local.store)[-1].schemas == (1, 2)


def test_an_unknown_version_is_an_error_of_the_configuration(
    local: Kitchen, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 78, naming those there are; nothing is written."""
    local.path.write_text(local.path.read_text("utf-8").replace("[1, 2]", "[1, 3]"), "utf-8")
    code, answer, _ = command(capsys, "run", "recipes", "--config", local.path)
    assert (code, "there is no schema version 3; known here: 1, 2" in answer["message"]) == (78, True)
    assert not Path(local.store).exists()


def test_workers_must_have_the_version_of_the_driver(
    local: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host with another minor version ends the run with 69, naming both; nothing is published."""
    local.overlap(False)
    local.cook(20, YESTERDAY)
    local.overlap(True)
    install(tmp_path / "newer", monkeypatch, "support.next_version:NEWER")
    for count, day in ((20, YESTERDAY), (21, TODAY)):
        with pytest.raises(
            UnavailableError, match=r"host .* has 2\.0 where the driver has schema version 2\.1: install"
        ):
            local.cook(count, day)
    assert find_pointer(open_store(local.store), "recipes", schema=2) is None


def test_forgotten_documents_leave_both(kitchen: Kitchen, capsys: pytest.CaptureFixture[str]) -> None:
    """Also the second's snapshots from an overlap that has ended; the next run takes up what is left of either."""
    kitchen.cook(40, YESTERDAY)
    before = kitchen.both(YESTERDAY)
    config = kitchen.overlap(False)
    kitchen.cook(40)
    gone = recipes(40)[7]["recipe_id"]
    code, answer, _ = command(capsys, "forget", "recipes", "--id", gone, "--config", config)
    assert (code, answer["found"], len(answer["copies"])) == (0, 1, 2)
    after = kitchen.both(YESTERDAY)
    _assert_derived(*after)
    for old, new in zip(before, after, strict=True):
        assert new.pointer.snapshot == answer["copies"][old.pointer.snapshot]
        assert not list(open_store(kitchen.store).list(old.pointer.path))
        rows = pa.concat_tables([new.rows(["doc_id", "text"])])
        assert not pc.any(pc.equal(rows["doc_id"], gone)).as_py()
        assert 0 < len(rows) < old.pointer.rows
    kitchen.overlap(True)
    result = kitchen.cook(40)
    assert result.entry.counts.texts_analysed == 0
    first, second = kitchen.both()
    _assert_derived(first, second)
    assert gone not in second.rows(["doc_id"])["doc_id"].to_pylist()
    assert command(capsys, "verify", "recipes", "--config", kitchen.path)[0] == 0


@pytest.mark.s3
@pytest.mark.parametrize(
    ("key", "sees"),
    [
        pytest.param(rf"v2/recipes/dates/{TODAY}\.json$", (TODAY, YESTERDAY), id="before the second's first pointer"),
        pytest.param(r"v2/recipes/latest\.json$", (TODAY, YESTERDAY), id="between the second's pointers"),
        pytest.param(r"v1/recipes/latest\.json$", (YESTERDAY, YESTERDAY), id="between the first's pointers"),
    ],
)
def test_a_run_killed_between_pointers_is_finished_by_the_next(
    faulty_s3: FaultyStore, tmp_path: Path, key: str, sees: tuple[str, str]
) -> None:
    """Wherever between the commit and the last pointer of the last version it is killed, the next run writes the rest
    and finds nothing else to do."""
    kitchen = Kitchen(tmp_path, faulty_s3.url)
    kitchen.path.write_text(f'{kitchen.path.read_text("utf-8")}\n[lock]\nbeat = "1s"\nexpiry = "4s"\n', "utf-8")
    kitchen.cook(20, YESTERDAY)
    write_jsonl(tmp_path / "source" / "recipes.jsonl", recipes(22))
    rule = faulty_s3.proxy.hold("PUT", key, times=None)
    arguments: list[str | Path] = ["run", "recipes", "--date", TODAY, "--as-of-now", "--config", kitchen.path, "--json"]
    with KizamiProcess(arguments, tmp_path) as process:
        rule.await_reached(90)
        process.kill()
        assert process.survivors() == []
    rule.release(drop=True)
    faulty_s3.proxy.clear()
    assert tuple(each.pointer.date for each in kitchen.both()) == sees
    commit = head(kitchen.store).unfinished
    assert commit is not None

    result = kitchen.cook(22)

    assert (result.entry.state, result.pointer) == (State.UNCHANGED, commit.pointer)
    assert head(kitchen.store).unfinished is None
    assert kitchen.both() == kitchen.both(TODAY)
    _assert_derived(*kitchen.both())


@pytest.mark.s3
@pytest.mark.parametrize(
    ("hold", "finished"),
    [
        pytest.param(r"v2/recipes/snapshots/", lambda parts: 2 * parts, id="all parts written"),
        pytest.param(r"v2/recipes/manifests/", lambda parts: 2 * parts, id="copied, no manifest"),
        pytest.param(r"v1/recipes/manifests/", lambda parts: 2 * parts, id="no manifest of the first"),
    ],
)
def test_a_run_killed_while_it_assembles_leaves_readers_on_yesterdays(
    faulty_s3: FaultyStore, tmp_path: Path, hold: str, finished: Callable[[int], int]
) -> None:
    """Finished parts of both versions are taken up by the next run, and nothing is analysed or derived again."""
    kitchen = Kitchen(tmp_path, faulty_s3.url)
    kitchen.path.write_text(f'{kitchen.path.read_text("utf-8")}\n[lock]\nbeat = "1s"\nexpiry = "4s"\n', "utf-8")
    write_jsonl(tmp_path / "source" / "recipes.jsonl", recipes(22))
    rule = faulty_s3.proxy.hold("PUT", hold, times=None)
    arguments: list[str | Path] = ["run", "recipes", "--date", TODAY, "--as-of-now", "--config", kitchen.path, "--json"]
    with KizamiProcess(arguments, tmp_path) as process:
        rule.await_reached(90)
        process.kill()
        assert process.survivors() == []
    rule.release(drop=True)
    faulty_s3.proxy.clear()
    store = open_store(kitchen.store)
    assert [find_pointer(store, "recipes", schema=schema) for schema in (1, 2)] == [None, None]
    left = staged(kitchen.store)

    entry = kitchen.cook(22).entry
    counts = entry.counts

    assert len(left) == finished(counts.parts)
    assert (counts.parts_reused, counts.texts_analysed) == (counts.parts, 0)
    _assert_derived(*kitchen.both())
    makers = {part.schema.metadata[b"kizami.run"].decode() for each in kitchen.both() for part in each.parts()}
    assert makers == {ledger(kitchen.store)[1].run} != {entry.run}
    assert staged(kitchen.store) == []
