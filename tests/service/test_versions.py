"""Versions of the schema side by side, on stores: one commit for all, and what becomes of it in each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from kizami import layout
from kizami.cleaning import Cleaning, clean, preview
from kizami.config import load_config
from kizami.derivation import derive, derived_key, versions_of
from kizami.encoded import ROWS
from kizami.errors import ConfigurationError, DataError
from kizami.manifest import decode_manifest
from kizami.partfile import PartWriter, derive_part, inspect_part
from kizami.readers import find_manifest, find_pointer
from kizami.retention import Terms, plan_gc
from kizami.stores import ObjectStore
from kizami.takedown import TakeDown, checked_ids, take_down
from kizami.verification import verify
from kizami_schemas.versions import known_versions
from support.crashing_store import killed, requests_of
from support.memory_store import Clock, MemoryStore
from support.next_version import V2, install
from support.publishing import CORPUS, LATEST, POINTER_KEYS, head, read
from support.shelf import (
    folders,
    go_back,
    manifest,
    publish,
    publish_candidate,
    put_candidate,
    put_snapshot,
    shown,
    undertake,
)
from support.snapshot_factory import Recipe, publish_in, recipes

D21, D22, D23, D24 = (f"2026-11-{day}" for day in range(21, 25))
NOW = Terms(dates=2, grace_seconds=0, candidate_seconds=0, fragment_seconds=0, staging_seconds=0)
LATEST_2 = layout.latest_key(CORPUS, 2)


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 2 is that of an installed package."""
    install(tmp_path / "installed", monkeypatch)


def gc(store: ObjectStore, terms: Terms = NOW, run: str = "gc-1") -> Cleaning:
    """Clean up under the lock."""
    with undertake(store, "gc", run) as held:
        return clean(store, held.lease, CORPUS, terms)


def keys(store: ObjectStore, schema: int) -> list[str]:
    """Everything in the tree of a version."""
    return [info.key for info in store.list(layout.corpus_prefix(CORPUS, schema))]


class TestTheRegistry:
    """Which versions there are."""

    def test_kizami_brings_the_first(self) -> None:
        """Nothing else is there unless a package is installed that brings it."""
        assert known_versions() == (1,)
        assert versions_of([1]) == ()
        with pytest.raises(ConfigurationError, match=r"there is no schema version 2; known here: 1$"):
            versions_of([1, 2])

    def test_an_installed_package_brings_another(self, known: None) -> None:
        """By an entry point, whose name is the number."""
        assert known_versions() == (1, 2)
        assert versions_of([1, 2]) == (V2,)

    @pytest.mark.parametrize("point", ["support.next_version:derive", "kizami_schemas.versions:V1"])
    def test_something_else_under_that_name_is_refused(
        self, point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An entry point of the group is a SchemaVersion of the number it is named by."""
        install(tmp_path / "installed", monkeypatch, point)
        with pytest.raises(ConfigurationError, match=f"schema version 2 cannot be used: the entry point {point} is no"):
            versions_of([1, 2])

    @pytest.mark.parametrize(
        ("schemas", "expected"),
        [
            ("[1]", (1,)),
            ("[2, 1]", (1, 2)),
            ("[1, 3]", "corpora.recipes.schemas: there is no schema version 3; known here: 1, 2"),
            ("[2]", "1 has to be in it"),
            ("[]", "1 has to be in it"),
            ("[1, 1]", "each once"),
            ("[true]", "write the numbers of"),
            ('["1"]', "write the numbers of"),
            ("1", "corpora.recipes.schemas is not a list"),
        ],
    )
    def test_the_configuration(
        self, known: None, tmp_path: Path, schemas: str, expected: tuple[int, ...] | str
    ) -> None:
        """The first is always among them; what is not known is named, beside what is."""
        path = tmp_path / "kizami.toml"
        path.write_text(
            f'store = "store"\n[corpora.recipes]\nsource = "a"\nid = "id"\nfields = ["title"]\nschemas = {schemas}\n'
        )
        if isinstance(expected, str):
            with pytest.raises(ConfigurationError, match=expected):
                load_config(path)
        else:
            assert load_config(path).corpus("recipes").schemas == expected


class TestPartsOfAnotherVersion:
    """What is derived from a finished part."""

    @pytest.fixture
    def part(self) -> tuple[MemoryStore, str]:
        """A part of several row groups' worth of rows in a store, and its key."""
        store = MemoryStore()
        made = publish_in(store, Recipe(recipes(), part_bytes=1 << 20))
        return store, layout.part_key(CORPUS, made.snapshot, 0)

    def test_every_row_and_one_column_more(self, part: tuple[MemoryStore, str], tmp_path: Path) -> None:
        """The columns of version 1 are the same to the value; row groups too; types are plain, nothing is nullable that
        was not."""
        store, key = part
        first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
        store.download(key, first)
        derive_part(first, second, V2, run="r")
        old, new = pq.read_table(first), pq.read_table(second)
        assert new.schema.equals(V2.schema)
        assert new.drop_columns(["reading"]).equals(old)
        own = new.to_pylist()
        assert any(row["surface"] for row in own)
        for row in own:
            readings = [reading or s for reading, s in zip(row["l_form"], row["surface"], strict=True)]
            assert row["reading"] == readings
        metadata = pq.read_schema(second).metadata
        assert (metadata[b"kizami.schema"], metadata[b"kizami.run"]) == (b"2.0", b"r")
        assert metadata[b"kizami.fingerprint"] == pq.read_schema(first).metadata[b"kizami.fingerprint"]

    def test_the_same_part_gives_the_same_bytes(self, part: tuple[MemoryStore, str], tmp_path: Path) -> None:
        """However often it is derived, and however the rows of the part came to its writer."""
        store, key = part
        first = tmp_path / "1.parquet"
        store.download(key, first)
        derive_part(first, tmp_path / "a", V2, run="r")
        derive_part(first, tmp_path / "b", V2, run="r")
        rows = pq.read_table(first).cast(ROWS)
        fingerprint = pq.read_schema(first).metadata[b"kizami.fingerprint"].decode()
        with PartWriter(tmp_path / "c", fingerprint=fingerprint, run="r", version=V2) as writer:
            for start in range(0, len(rows), 7):
                writer.write(rows.slice(start, 7))
            writer.finish([])
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()

    def test_what_is_staged_is_taken_up(self, part: tuple[MemoryStore, str], tmp_path: Path) -> None:
        """A part derived before is not derived again, whoever did it; another part's bytes ask for another key."""
        store, key = part
        first = tmp_path / "1.parquet"
        store.download(key, first)
        report = inspect_part(first)
        made = derive(store, CORPUS, V2, first, report, run="a")
        before = dict(store.objects)
        assert derive(store, CORPUS, V2, first, report, run="b") == made
        assert store.objects == before
        staged = pq.read_table(pa.BufferReader(store.get(layout.staging_key(CORPUS, made.key)).body))
        assert staged.schema.metadata[b"kizami.run"] == b"a"
        other = derived_key("0" * 64, V2), derived_key(report.sha256, replace(V2, minor=1))
        assert len({made.key, *other}) == 3

    @pytest.mark.parametrize(
        "wrong",
        [lambda rows: rows.slice(1), lambda rows: rows, lambda rows: V2.derive(rows).select(V2.schema.names[1:])],
    )
    def test_a_version_that_does_not_keep_its_word_is_refused(
        self, part: tuple[MemoryStore, str], tmp_path: Path, wrong: Callable[[pa.Table], pa.Table]
    ) -> None:
        """Other rows or other columns than promised: nothing is staged."""
        store, key = part
        first = tmp_path / "1.parquet"
        store.download(key, first)
        before = dict(store.objects)
        with pytest.raises(DataError, match=r"schema version 2.0 made \d+ rows of \d+ with the columns"):
            derive(store, CORPUS, replace(V2, derive=wrong), first, inspect_part(first), run="r")
        assert store.objects == before

    def test_an_empty_part_has_no_row_group_in_any_version(self, tmp_path: Path) -> None:
        """And the columns all the same."""
        with PartWriter(tmp_path / "1", fingerprint="f", run="r") as writer:
            writer.finish([{"row": 3, "message": "failed"}])
        derive_part(tmp_path / "1", tmp_path / "2", V2, run="r")
        file = pq.ParquetFile(tmp_path / "2")
        assert (file.num_row_groups, file.schema_arrow.equals(V2.schema)) == (0, True)
        assert file.metadata.metadata[b"kizami.analysis_failures"] == b'[{"row": 3, "message": "failed"}]'


def test_one_commit_publishes_both(store: ObjectStore) -> None:
    """A snapshot has one name in both, the pointers differ in their version only; the first's are as ever."""
    publish(store, "a", D22)
    publish(store, "b", D23, others=[2])
    assert shown(store) == {"latest": "b", D22: "a", D23: "b"}
    assert shown(store, 2) == {"latest": "b", D23: "b"}
    assert (head(store).commits, head(store).unfinished) == (2, None)
    first = json.loads(store.get(LATEST).body)
    second = json.loads(store.get(LATEST_2).body)
    assert list(first) == POINTER_KEYS
    differing = {name for name in first if first[name] != second[name]}
    assert differing == {"schema", "path", "glob", "manifest"}
    commit = head(store).commit
    assert commit is not None
    assert [(each.schema, each.latest) for each in commit.editions] == [(2, read(store, LATEST_2))]


def test_the_next_one_finishes_a_commit_for_all() -> None:
    """Wherever the publication of both dies, the next holder shows it in both versions or in none; and of each version
    readers see whole snapshots throughout."""
    start = MemoryStore()
    publish(start, "a", D22, others=[2])

    def commit(store: ObjectStore) -> None:
        publish(store, "b", D23, others=[2])

    old, new = {"latest": "a", D22: "a"}, {"latest": "b", D22: "a", D23: "b"}
    seen = set()
    for crash_at in range(requests_of(_copy(start), commit)):
        for carried_out in (False, True):
            clock = Clock()
            store = _copy(start, clock)
            killed(store, commit, crash_at, carried_out=carried_out)
            views = [shown(store), shown(store, 2)]
            assert all(view in (old, new, {**new, "latest": "a"}) for view in views)
            seen.add(tuple(view == new for view in views))
            clock.now = 7200.0
            with undertake(store, "gc"):
                pass
            assert shown(store) == shown(store, 2)
            assert shown(store) == (new if head(store).commits == 2 else old)
    assert seen == {(False, False), (True, False), (True, True)}


def _copy(store: MemoryStore, clock: Clock | None = None) -> MemoryStore:
    """The same objects in another store."""
    copy = MemoryStore(clock or Clock())
    for key, (body, _) in store.objects.items():
        copy.put(key, body)
    return copy


def test_an_earlier_date_leaves_latest(store: ObjectStore) -> None:
    """In each version ``latest`` names the newest date that was published in it."""
    publish(store, "b", D23)
    publish(store, "a", D21, others=[2])
    assert (shown(store)["latest"], shown(store, 2)) == ("b", {"latest": "a", D21: "a"})
    publish(store, "b2", D23, others=[2])
    publish(store, "a2", D21, others=[2])
    assert (shown(store)["latest"], shown(store, 2)) == ("b2", {"latest": "b2", D21: "a2", D23: "b2"})


def test_a_rollback_goes_back_in_both(store: ObjectStore) -> None:
    """To a snapshot of both, both go; to one from before the overlap, the second has nothing to show; and forward
    again it has."""
    publish(store, "a", D21)
    for snapshot, date in (("b", D22), ("c", D23)):
        publish(store, snapshot, date, others=[2])
    go_back(store, "b")
    assert shown(store, 2) == {"latest": "b", D22: "b"}
    go_back(store, "a", run="rollback-2")
    assert (shown(store), shown(store, 2)) == ({"latest": "a", D21: "a"}, {})
    go_back(store, "c", run="rollback-3")
    assert shown(store, 2) == {"latest": "c", D23: "c"}


def test_a_rollback_wants_all_of_it(store: ObjectStore) -> None:
    """A snapshot that lacks something in one version is not gone back to."""
    publish(store, "a", D22, others=[2])
    publish(store, "b", D23, others=[2])
    store.delete([layout.part_key(CORPUS, "a", 1, 2)])
    with pytest.raises(DataError, match=r"a is not whole, v2/.*part-00001.parquet is missing: nothing was changed"):
        go_back(store, "a")
    assert shown(store)["latest"] == "b"


def test_the_end_of_an_overlap(store: ObjectStore) -> None:
    """What was published in the second version stays until its dates go, its ``latest`` with the last of them; no
    other object of it is left."""
    for snapshot, date, others in (("a", D21, [2]), ("b", D22, [2]), ("c", D23, [])):
        publish(store, snapshot, date, others=others)
    assert shown(store, 2) == {"latest": "b", D21: "a", D22: "b"}
    gc(store)
    assert shown(store, 2) == {"latest": "b", D22: "b"}
    publish(store, "d", D24)
    assert shown(store, 2) == {"latest": "b", D22: "b"}
    assert preview(store, CORPUS, NOW).retired == (D22,)
    gc(store, run="gc-2")
    assert shown(store, 2) == {}
    assert not any("/dates/" in key or "latest" in key for key in keys(store, 2))
    assert folders(store, 2) == {"b"}  # for the readers that are busy
    gc(store, run="gc-3")
    assert keys(store, 2) == []
    assert (shown(store), folders(store)) == ({"latest": "d", D23: "c", D24: "d"}, {"c", "d"})
    gc(store, run="gc-4")
    assert head(store).catalogue.doomed == ()


def test_pointers_that_are_to_go(store: ObjectStore) -> None:
    """In each version those of the dates that it does not show: none while all is as it should be."""
    publish(store, "a", D21, others=[2])
    publish(store, "b", D22, others=[2])
    publish(store, "c", D23)
    listing = [info for prefix in layout.corpus_prefixes(CORPUS) for info in store.list(prefix)]
    catalogue = head(store).catalogue
    assert plan_gc(listing, catalogue, "c", CORPUS, Terms(dates=3)).pointers == ()
    gone = plan_gc(listing, catalogue, "c", CORPUS, Terms(dates=2)).pointers
    assert gone == (layout.date_key(CORPUS, D21), layout.date_key(CORPUS, D21, 2))


def test_a_date_published_again_without_it_is_gone_in_the_second(store: ObjectStore) -> None:
    """Its snapshot is superseded, so that its folder goes: nothing may point there."""
    publish(store, "a", D22, others=[2])
    publish(store, "b", D23, others=[2])
    publish(store, "b2", D23)
    assert (shown(store), shown(store, 2)) == ({"latest": "b2", D22: "a", D23: "b2"}, {"latest": "a", D22: "a"})
    publish(store, "a2", D22)
    assert shown(store, 2) == {}


def test_retention_deletes_a_snapshot_in_all_versions(store: ObjectStore) -> None:
    """Superseded ones, candidates and what a run left that died; what is shown stays in all."""
    publish(store, "a", D23, others=[2])
    publish(store, "b", D23, others=[2])
    put_snapshot(store, manifest("candidate"), others=[2])
    store.put(layout.part_key(CORPUS, "fragment", 0, 2), b"half")
    store.put(layout.manifest_key(CORPUS, "torn", 2), b"{}")
    for number in range(3):
        gc(store, run=f"gc-{number}")
    assert (folders(store), folders(store, 2)) == ({"b"}, {"b"})
    assert shown(store) == shown(store, 2) == {"latest": "b", D23: "b"}


def test_retention_dies_anywhere() -> None:
    """What is shown stays whole in both, and the next time finishes."""
    start = MemoryStore()
    for snapshot, date in (("a", D21), ("b", D22), ("b2", D22), ("c", D23)):
        publish(start, snapshot, date, others=[2])
    left = {"latest": "c", D22: "b2", D23: "c"}

    def clean_up(store: ObjectStore) -> None:
        gc(store)
        gc(store, run="gc-2")

    for crash_at in range(0, requests_of(_copy(start), clean_up), 2):
        clock = Clock()
        store = _copy(start, clock)
        killed(store, clean_up, crash_at, carried_out=crash_at % 4 == 0)
        assert shown(store).keys() >= left.keys()
        assert shown(store, 2).keys() >= left.keys()
        clock.now = 7200.0
        for number in range(3):
            gc(store, run=f"after-{number}")
        assert shown(store) == shown(store, 2) == left
        assert folders(store) == folders(store, 2) == {"b2", "c"}


def test_a_stray_pointer_of_the_second_version_goes(store: ObjectStore) -> None:
    """One that a process wrote which had stopped for a while is removed when the lock is taken."""
    publish(store, "a", D22, others=[2])
    stray = store.get(LATEST_2).body
    publish(store, "b", D22)
    assert shown(store, 2) == {}
    store.put(LATEST_2, stray)
    store.put(layout.date_key(CORPUS, D22, 2), stray)
    with undertake(store, "gc"):
        pass
    assert keys(store, 2) == [key for key in keys(store, 2) if "/snapshots/" in key or "/manifests/" in key]


class TestCandidates:
    """Publishing what lies there unpublished."""

    def test_in_all_versions_that_are_configured(self, store: ObjectStore) -> None:
        """And in no other, though it lies there in it."""
        put_candidate(store, "a", D22, others=[2])
        assert shown(store, 2) == {}
        publish_candidate(store, "a", schemas=(1, 2))
        assert shown(store) == shown(store, 2) == {"latest": "a", D22: "a"}
        put_candidate(store, "b", D23, others=[2])
        publish_candidate(store, "b", run="publish-2")
        assert (shown(store)["latest"], shown(store, 2)) == ("b", {"latest": "a", D22: "a"})

    def test_one_from_before_the_overlap_is_refused(self, store: ObjectStore) -> None:
        """It says what it lacks and how to get it."""
        put_candidate(store, "a", D22)
        with pytest.raises(DataError, match=r"a was made without schema version 2, .*: make another with `kizami run"):
            publish_candidate(store, "a", schemas=(1, 2))
        assert shown(store) == {}

    def test_one_that_is_not_whole_in_one_version_is_refused(self, store: ObjectStore) -> None:
        """Nothing is published in any."""
        put_candidate(store, "a", D22, others=[2])
        store.delete([layout.part_key(CORPUS, "a", 0, 2)])
        with pytest.raises(DataError, match=r"a is not whole, v2/.*part-00000.parquet is missing"):
            publish_candidate(store, "a", schemas=(1, 2))
        assert (shown(store), shown(store, 2)) == ({}, {})


NAMES = tuple(f"2026112{number}T000000.000000Z-0123456789abcde{number}" for number in range(3))


def _real(store: ObjectStore) -> ObjectStore:
    """Three dates with real parts; the overlap begins with the second."""
    for name, day, count, versions in zip(NAMES, (D21, D22, D23), (20, 24, 28), ((), (V2,), (V2,)), strict=True):
        publish_in(store, Recipe(recipes(count), date=day, snapshot=name, part_bytes=1024, versions=versions))
    return store


def _rows(store: ObjectStore, snapshot: str, schema: int) -> pa.Table:
    made = find_manifest(store, CORPUS, snapshot, schema)
    folder = layout.snapshot_prefix(CORPUS, snapshot, schema)
    return pa.concat_tables([pq.read_table(pa.BufferReader(store.get(folder + each.name).body)) for each in made.parts])


def _forget(store: ObjectStore, *ids: str, run: str = "") -> TakeDown:
    with undertake(store, "forget", run) as held:
        return take_down(held, CORPUS, checked_ids(ids))


def _objects_with(store: ObjectStore, doc_id: str) -> list[str]:
    found = []
    for info in store.list(""):
        body = store.get(info.key).body
        if info.key.endswith(".parquet"):
            body += "\n".join(map(str, pq.read_table(pa.BufferReader(body))["doc_id"].to_pylist())).encode()
        if doc_id.encode() in body:
            found.append(info.key)
    return found


def test_forget_takes_documents_from_both(store: ObjectStore, known: None) -> None:
    """Other rows are as they were in each version, the second derived from the first; all of it verifies; what was
    published in one version only stays so."""
    _real(store)
    doc_id = recipes()[8][0]
    before = {(name, 2): _rows(store, name, 2) for name in NAMES[1:]} | {(n, 1): _rows(store, n, 1) for n in NAMES}
    assert any(key.startswith("v2/") for key in _objects_with(store, doc_id))
    done = _forget(store, doc_id)
    assert (done.found, set(done.copies)) == (1, set(NAMES))
    assert _objects_with(store, doc_id) == []
    for (name, schema), rows in before.items():
        left = rows.filter(pc.not_equal(rows["doc_id"], doc_id))
        assert _rows(store, done.copies[name], schema).equals(left)
        assert len(left) < len(rows)
    copies = [done.copies[name] for name in NAMES]
    assert shown(store) == dict(zip((D21, D22, D23), copies, strict=True)) | {"latest": copies[2]}
    assert shown(store, 2) == {D22: copies[1], D23: copies[2], "latest": copies[2]}
    assert folders(store, 2) == set(copies[1:])
    for copy, schemas in zip(copies, ((1,), (1, 2), (1, 2)), strict=True):
        found = verify(store, CORPUS, copy)
        assert (found.faults, found.schemas) == ((), schemas)


def test_forget_dies_anywhere(known: None) -> None:
    """Whatever request a take-down over both dies at, readers of both see whole snapshots, and doing it again leaves no
    trace in any."""
    start = _real(MemoryStore())
    assert isinstance(start, MemoryStore)
    doc_id = recipes()[8][0]
    requests = requests_of(_copy(start), lambda store: _forget(store, doc_id))
    for crash_at in range(2, requests, 9):
        clock = Clock()
        store = _copy(start, clock)
        killed(store, lambda crashing: _forget(crashing, doc_id), crash_at, carried_out=crash_at % 2 == 0)
        assert shown(store).keys() == {"latest", D21, D22, D23}
        assert shown(store, 2).keys() == {"latest", D22, D23}
        clock.now = 7200.0
        _forget(store, doc_id, run="again")
        assert shown(store).keys() == {"latest", D21, D22, D23}
        assert shown(store, 2).keys() == {"latest", D22, D23}
        assert _objects_with(store, doc_id) == []
        assert verify(store, CORPUS).faults == ()


def test_forget_without_the_version_at_hand(known: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody brings the version any more, a part of it cannot be written: nothing is published; it says so."""
    store = _real(MemoryStore())
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"v2/.* is of schema 2.0, which this version does not write"):
        _forget(store, recipes()[8][0])
    assert shown(store, 2).keys() == {"latest", D22, D23}
    assert _forget(store, "not there", run="other").copies == {}


def test_verify_compares_both(store: ObjectStore, known: None) -> None:
    """Parts of both are counted; a damaged, missing or foreign object of the second is named like one of the first."""
    _real(store)
    first = verify(store, CORPUS, NAMES[0])
    both = verify(store, CORPUS)
    parts = len(find_manifest(store, CORPUS, NAMES[2]).parts)
    assert (first.schemas, both.schemas, both.parts, both.faults) == ((1,), (1, 2), 2 * parts, ())
    folder = layout.snapshot_prefix(CORPUS, NAMES[2], 2)
    store.put(f"{folder}part-00000.parquet", store.get(f"{folder}part-00001.parquet").body)
    store.delete([f"{folder}part-00002.parquet"])
    faults = {fault.key: fault.what for fault in verify(store, CORPUS).faults}
    assert set(faults) == {f"{folder}part-00000.parquet", f"{folder}part-00002.parquet"}
    assert faults[f"{folder}part-00002.parquet"] == "is missing"
    key = layout.manifest_key(CORPUS, NAMES[2], 2)
    store.delete([key])
    assert [(fault.key, fault.what) for fault in verify(store, CORPUS).faults] == [(key, "is missing")]


def test_verify_holds_the_manifests_against_each_other(known: None) -> None:
    """What has to be the same in both is compared: rows, bounds, counts."""
    store = _real(MemoryStore())
    key = layout.manifest_key(CORPUS, NAMES[2], 2)
    body = store.get(key).body
    store.put(key, body.replace(b'"input_digest": "0', b'"input_digest": "1', 1))
    assert decode_manifest(store.get(key).body, key).input_digest.startswith("1")
    faults = [(fault.key, fault.what) for fault in verify(store, CORPUS).faults]
    assert faults == [(key, f"does not agree with {layout.manifest_key(CORPUS, NAMES[2])}")]


def test_readers_name_the_version(store: ObjectStore) -> None:
    """Where a version is not published the error says what asks for it."""
    publish(store, "a", D22)
    assert find_pointer(store, CORPUS, schema=2) is None
    with pytest.raises(DataError, match="under v2; `kizami run recipes` makes one where its `schemas` has 2 in it"):
        find_manifest(store, CORPUS, "latest", 2)
