"""Taking documents down: what is left of snapshots, and that nothing of the documents is, whatever crashes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from kizami import json_form, layout, quarantine
from kizami.catalogue import State
from kizami.cleaning import clean
from kizami.errors import DataError
from kizami.ledger import ErrorEntry, Ledger, RunEntry
from kizami.ledger import State as RunState
from kizami.manifest import Manifest, decode_manifest
from kizami.readers import find_manifest, find_pointer
from kizami.retention import Terms
from kizami.rollback import roll_back
from kizami.stores import ObjectStore, Versioning, open_store
from kizami.takedown import TakeDown, checked_ids, take_down
from kizami.texts import Reason
from kizami.traces import traces
from kizami.verification import verify
from kizami_jobs.cli import main
from kizami_schemas import v1
from support.crashing_store import killed, requests_of
from support.memory_store import Clock, MemoryStore
from support.publishing import CORPUS, head
from support.shelf import OPEN, folders, publish_candidate, undertake
from support.shelf import shown as named
from support.snapshot_factory import Document, Recipe, publish_in, recipes

DAYS = ("2026-11-22", "2026-11-23", "2026-11-23", "2026-11-24")
NAMES = tuple(f"2026112{number}T000000.000000Z-0123456789abcde{number}" for number in range(4))
COUNTS = (40, 44, 44, 48)


@cache
def week() -> dict[str, bytes]:
    """The objects of a store with three dates, one of them with two revisions; a document of the last was changed."""
    store = MemoryStore()
    for name, day, count in zip(NAMES, DAYS, COUNTS, strict=True):
        documents = recipes(count)
        if name == NAMES[3]:
            documents[8] = (documents[8][0], "別の題名", documents[8][2])
        publish_in(store, Recipe(documents, date=day, snapshot=name, part_bytes=1024))
    return {key: body for key, (body, _) in store.objects.items()}


def filled(store: ObjectStore) -> ObjectStore:
    """The store with that week."""
    for key, body in week().items():
        store.put(key, body)
    return store


@pytest.fixture
def store(store: ObjectStore) -> ObjectStore:
    """A store of each kind with that week."""
    return filled(store)


def forget(store: ObjectStore, *ids: str, run: str = "") -> TakeDown:
    """Take documents down as the verb does."""
    with undertake(store, "forget", run) as held:
        done = take_down(held, CORPUS, checked_ids(ids))
        held.record.end(RunState.DONE)
    return done


def rows(store: ObjectStore, snapshot: str) -> pa.Table:
    """All rows of a snapshot, as its files have them."""
    manifest = find_manifest(store, CORPUS, snapshot)
    folder = layout.snapshot_prefix(CORPUS, snapshot)
    tables = [pq.read_table(pa.BufferReader(store.get(folder + part.name).body)) for part in manifest.parts]
    return pa.concat_tables([v1.SCHEMA.empty_table(), *tables])


def without(table: pa.Table, ids: Sequence[str]) -> pa.Table:
    """The rows of all other documents."""
    return table.filter(pc.invert(pc.is_in(table["doc_id"], pa.array(ids, pa.string()))))


def objects_with(store: ObjectStore, doc_id: str) -> list[str]:
    """Keys of the objects in whose bytes an id stands, Parquet columns decoded: told without any code of Kizami's."""
    found = []
    for info in store.list(""):
        body = store.get(info.key).body
        if info.key.endswith(".parquet"):
            body += "\n".join(map(str, pq.read_table(pa.BufferReader(body))["doc_id"].to_pylist())).encode()
        if doc_id.encode() in body:
            found.append(info.key)
    return found


def shown(store: ObjectStore) -> dict[str, str]:
    """What pointers name; fails unless all of it verifies."""
    found = {}
    for date in (None, *sorted(set(DAYS))):
        pointer = find_pointer(store, CORPUS, date)
        if pointer is not None:
            found[date or "latest"] = pointer.snapshot
            assert verify(store, CORPUS, pointer.snapshot).faults == ()
    return found


def test_every_snapshot_is_published_anew_without_the_documents(store: ObjectStore) -> None:
    """All other rows are as they were, the originals are gone, pointers and manifests say what there is."""
    documents = recipes()
    ids = [documents[8][0], documents[21][0], documents[46][0]]
    before = {name: rows(store, name) for name in NAMES}
    manifests = {name: find_manifest(store, CORPUS, name) for name in NAMES}
    assert all(objects_with(store, each) for each in ids)
    done = forget(store, *ids)
    assert (done.documents, done.listed, done.found, set(done.copies)) == (3, 3, 3, set(NAMES))
    assert folders(store) == set(done.copies.values())
    for name, copy in done.copies.items():
        after, old, new = rows(store, copy), manifests[name], find_manifest(store, CORPUS, copy)
        assert after.equals(without(before[name], ids))
        assert old.counts.rows - new.counts.rows == len(before[name]) - len(after) > 0
        assert new.counts.rows + new.counts.forgotten == old.counts.rows == new.counts.texts
        assert new.counts.documents == len(after["doc_id"].unique())
        assert new.counts.text_bytes == pc.sum(pc.binary_length(after["text"])).as_py()
        assert (new.date, new.provenance.rewritten_from, new.input_digest) == (old.date, name, "")
    assert shown(store) == {
        "latest": done.copies[NAMES[3]],
        DAYS[0]: done.copies[NAMES[0]],
        DAYS[1]: done.copies[NAMES[2]],
        DAYS[3]: done.copies[NAMES[3]],
    }
    assert [objects_with(store, each) for each in ids] == [[], [], []]
    assert (head(store).holder, head(store).unfinished, head(store).catalogue.doomed) == (None, None, ())


def test_parts_without_the_documents_are_the_same_objects(store: ObjectStore) -> None:
    """Only what held one is written anew; a run can take the others over as they are."""
    old = find_manifest(store, CORPUS, NAMES[3])
    gone = recipes()[8][0]
    done = forget(store, gone)
    new = find_manifest(store, CORPUS, done.copies[NAMES[3]])
    assert new.bounds == old.bounds
    changed = [number for number, both in enumerate(zip(old.parts, new.parts, strict=True)) if both[0] != both[1]]
    assert len(old.parts) > 3
    assert changed == [old.parts.index(old.part_of(gone))]
    [number] = changed
    assert new.parts[number].input_digest is None
    assert new.parts[number].key != old.parts[number].key


def test_a_document_that_bounds_a_part_leaves_no_trace_in_the_manifest(store: ObjectStore) -> None:
    """The next one becomes the bound; where the part has no other, it joins the one before."""
    old = find_manifest(store, CORPUS, NAMES[3])
    bound = old.bounds[2]
    part = rows(store, NAMES[3]).filter(pc.greater_equal(rows(store, NAMES[3])["doc_id"], old.bounds[3]))
    whole = sorted(set(part.filter(pc.less(part["doc_id"], old.bounds[4]))["doc_id"].to_pylist()))
    before = rows(store, NAMES[3])
    done = forget(store, bound, *whole)
    new = find_manifest(store, CORPUS, done.copies[NAMES[3]])
    assert len(new.parts) == len(old.parts) - 1
    assert new.bounds[:2] == old.bounds[:2]
    assert new.bounds[2] > bound
    assert new.bounds[3:] == old.bounds[4:]
    assert rows(store, done.copies[NAMES[3]]).equals(without(before, [bound, *whole]))
    assert all(objects_with(store, each) == [] for each in (bound, *whole))
    shown(store)


def test_a_corpus_of_which_nothing_is_left_is_one_part_without_row_groups() -> None:
    """As an empty corpus is."""
    store = MemoryStore()
    documents = recipes(12)
    publish_in(store, Recipe(documents, part_bytes=256))
    done = forget(store, *(each[0] for each in documents))
    [copy] = done.copies.values()
    manifest = find_manifest(store, CORPUS, copy)
    assert (manifest.counts.rows, manifest.counts.documents, manifest.bounds) == (0, 0, ("",))
    body = store.get(layout.part_key(CORPUS, copy, 0)).body
    assert pq.ParquetFile(pa.BufferReader(body)).num_row_groups == 0


def test_an_unknown_document_is_put_on_the_list_all_the_same(store: ObjectStore) -> None:
    """Nothing is rewritten, no commit is made, and a second time changes nothing."""
    before = (shown(store), head(store).commits)
    done = forget(store, "nobody-1")
    assert (done.documents, done.listed, done.found, done.copies, done.deleted) == (1, 1, 0, {}, ())
    assert (shown(store), head(store).commits) == before
    assert objects_with(store, "nobody-1") == []
    again = forget(store, "nobody-1", run="forget-2")
    assert (again.listed, again.found, again.copies) == (0, 0, {})


def test_only_older_snapshots_have_it(store: ObjectStore) -> None:
    """Those are published anew; ``latest`` and what it names stay."""
    publish_in(store, Recipe(recipes(8), date="2026-11-25", snapshot="20261125T000000.000000Z-0123456789abcdef"))
    done = forget(store, recipes()[21][0])
    assert set(done.copies) == set(NAMES)
    assert shown(store)["latest"] == "20261125T000000.000000Z-0123456789abcdef"
    assert done.pointer == find_pointer(store, CORPUS)
    assert done.pointer == find_pointer(store, CORPUS, "2026-11-25")


def test_what_is_not_shown_is_rewritten_in_its_state(store: ObjectStore) -> None:
    """A superseded revision and a withdrawn snapshot keep their places: a rollback finds them under their new names."""
    with undertake(store, "rollback") as held:
        roll_back(held, CORPUS, NAMES[2])
    done = forget(store, recipes()[8][0])
    states = {each.snapshot: each.state for each in head(store).catalogue.publications}
    assert states == {
        done.copies[NAMES[0]]: State.PUBLISHED,
        done.copies[NAMES[1]]: State.PUBLISHED,
        done.copies[NAMES[2]]: State.PUBLISHED,
        done.copies[NAMES[3]]: State.WITHDRAWN,
    }
    assert DAYS[3] not in shown(store)
    with undertake(store, "rollback", "rollback-2") as held:
        roll_back(held, CORPUS, done.copies[NAMES[1]])
    assert shown(store)["latest"] == done.copies[NAMES[1]]


def put_candidate(store: ObjectStore, name: str, documents: Sequence[Document]) -> Manifest:
    """Leave a snapshot that was never published."""
    other = MemoryStore()
    made = publish_in(other, Recipe(documents, date=DAYS[3], snapshot=name))
    for key, (body, _) in other.objects.items():
        if name in key:
            store.put(key, body)
    return made


def test_what_was_never_published_is_deleted_whole(store: ObjectStore) -> None:
    """A candidate that has it, parts of a run that died, staging and submissions; another candidate stays."""
    documents = recipes(20)
    put_candidate(store, "with-it", documents)
    put_candidate(store, "without-it", documents[:8] + documents[9:])
    put_candidate(store, "fragment", documents)
    store.delete([layout.manifest_key(CORPUS, "fragment")])
    store.put(layout.staging_key(CORPUS, "x"), b"anything")
    store.put(layout.submission_key(CORPUS, "r"), b'{"renewal": {"ids": ["b"]}}')
    done = forget(store, documents[8][0])
    assert done.deleted == ("fragment", "with-it")
    assert folders(store) == {"without-it", *done.copies.values()}
    assert list(store.list(layout.staging_prefix(CORPUS))) == []
    assert list(store.list(layout.submissions_prefix(CORPUS))) == []


def test_a_candidate_that_comes_too_late_is_not_published(store: ObjectStore) -> None:
    """A run that stood still during the take-down may leave one with the document: it is refused; forgetting the
    document again deletes it."""
    documents = recipes(20)
    gone = documents[8][0]
    forget(store, gone)
    rest = documents[:8] + documents[9:]
    held = layout.quarantine_key(CORPUS, "run-late")
    for name, some in (("tardy", documents), ("sound", rest), ("holding", rest), ("bounded", rest)):
        made = put_candidate(store, name, some)
        late = replace(made, gates=OPEN, after_commit=head(store).commits)
        if name == "holding":
            late = replace(late, quarantine=held)
        if name == "bounded":
            late = replace(late, parts=tuple(replace(part, lower=gone) for part in late.parts))
        store.put(layout.manifest_key(CORPUS, name), json_form.encode(late))
    store.put(held, held_back(gone))
    for name, place in (("holding", "its quarantine"), ("bounded", "its bounds")):
        with pytest.raises(DataError, match=f"{name} has a document in {place} that"):
            publish_candidate(store, name, run=f"publish-{name}")
    with pytest.raises(
        DataError, match=r"tardy has a document in part-00000.parquet that `kizami forget` took down"
    ) as e:
        publish_candidate(store, "tardy")
    assert gone not in str(e.value)
    sound = layout.manifest_key(CORPUS, "sound")
    lacking = replace(decode_manifest(store.get(sound).body, sound), quarantine=layout.quarantine_key(CORPUS, "lost"))
    store.put(sound, json_form.encode(lacking))
    publish_candidate(store, "sound", run="publish-2")
    assert shown(store)["latest"] == "sound"
    done = forget(store, gone, run="forget-2")
    assert (done.listed, done.deleted, done.copies) == (0, ("bounded", "holding", "tardy"), {})


def held_back(*ids: str | None) -> bytes:
    """A quarantine file with a row for each of these ids."""
    made = [(each, "title", 0, str(Reason.ANALYSIS_FAILED), "why", "a.jsonl", 1) for each in ids]
    columns = zip(*made, strict=True)
    return quarantine.to_parquet(
        [
            pa.Table.from_arrays(
                [pa.array(c, f.type) for c, f in zip(columns, quarantine.SCHEMA, strict=True)], schema=quarantine.SCHEMA
            )
        ]
    )


def test_quarantine_is_rewritten_too(store: ObjectStore) -> None:
    """That of a snapshot goes with it into the copy, with its counts; a failed run's is written over or deleted."""
    documents = recipes()
    one, other = documents[8][0], documents[1][0]
    key = layout.manifest_key(CORPUS, NAMES[3])
    old = decode_manifest(store.get(key).body, key)
    counts = replace(
        old.counts, quarantined=4, quarantined_by_reason={"analysis_failed": 4}, texts=old.counts.texts + 4
    )
    named = replace(old, quarantine=layout.quarantine_key(CORPUS, "run-3"), counts=counts)
    store.put(key, json_form.encode(named))
    store.put(layout.quarantine_key(CORPUS, "run-3"), held_back(one, "held-1", None, "held-1"))
    store.put(layout.quarantine_key(CORPUS, "failed"), held_back(other, "held-1"))
    store.put(layout.quarantine_key(CORPUS, "failed-2"), held_back("held-1"))
    done = forget(store, one, "held-1")
    assert done.found == 2
    new = find_manifest(store, CORPUS, done.copies[NAMES[3]])
    assert (new.counts.quarantined, new.counts.quarantined_by_reason) == (1, {"analysis_failed": 1})
    assert new.counts.texts == new.counts.rows + new.counts.quarantined + new.counts.forgotten
    assert new.quarantine is not None
    failed = layout.quarantine_key(CORPUS, "failed")
    left = {
        info.key: pq.read_table(pa.BufferReader(store.get(info.key).body))["doc_id"].to_pylist()
        for info in store.list(layout.quarantine_prefix(CORPUS))
    }
    assert left == {new.quarantine: [None], failed: [other]}
    assert objects_with(store, "held-1") == []


def test_messages_of_the_ledger_lose_the_id(store: ObjectStore) -> None:
    """A run that was asked for an id which was not there named it; all else of its entry stays."""
    entry = RunEntry("run-9", "reprocess", CORPUS, DAYS[3], RunState.FAILED, "read", "2026-11-24T06:00:00Z")
    message = "a.jsonl has no document 'r-9', 'r-99': nothing was analysed"
    Ledger(store, CORPUS).write(replace(entry, error=ErrorEntry("DataError", message)))
    forget(store, "r-9")
    [found] = [each for each in Ledger(store, CORPUS).history() if each.run == "run-9"]
    told = "a.jsonl has no document (forgotten), 'r-99': nothing was analysed"
    assert found == replace(entry, error=ErrorEntry("DataError", told))


def test_an_id_like_a_date_or_a_field_is_no_trace(store: ObjectStore) -> None:
    """What Kizami's own JSON calls so has nothing to do with the document."""
    assert forget(store, DAYS[3], "title", CORPUS, "1.0").copies == {}


def test_a_trace_that_is_left_is_named(store: ObjectStore) -> None:
    """In another major version, which this one does not rewrite, or in an object that it does not know: exit 65."""
    gone = recipes()[8][0]
    store.put(f"v2/{CORPUS}/notes.json", json.dumps({"seen": [gone]}).encode())
    store.put(f"v1/{CORPUS}/odd.parquet", b"no Parquet")
    with pytest.raises(DataError) as caught:
        forget(store, gone)
    assert f"v2/{CORPUS}/notes.json names 1 of them" in str(caught.value)
    assert f"v1/{CORPUS}/odd.parquet cannot be searched" in str(caught.value)
    assert gone not in str(caught.value)
    store.delete([f"v2/{CORPUS}/notes.json", f"v1/{CORPUS}/odd.parquet"])
    assert forget(store, gone, run="forget-2").found == 0


def test_the_search_finds_every_kind_of_trace(store: ObjectStore) -> None:
    """Before a take-down it names the parts and, for a bound, the manifests."""
    bound = find_manifest(store, CORPUS, NAMES[3]).bounds[1]
    searched, faults = traces(store, CORPUS, [bound])
    assert searched == len(list(store.list("")))
    assert sorted(fault.key for fault in faults) == objects_with(store, bound)
    assert layout.manifest_key(CORPUS, NAMES[3]) in {fault.key for fault in faults}


def test_a_damaged_snapshot_that_is_shown_is_named_and_nothing_is_changed(store: ObjectStore) -> None:
    """Its rows could not be trusted. The document is on the list all the same; one that nobody is shown just goes."""
    gone = recipes()[8][0]
    number = find_manifest(store, CORPUS, NAMES[3]).parts.index(find_manifest(store, CORPUS, NAMES[3]).part_of(gone))
    store.put(layout.part_key(CORPUS, NAMES[3], number), b"damaged")
    before = {date: find_pointer(store, CORPUS, date) for date in (None, *DAYS)}
    with pytest.raises(DataError, match=rf"part-0000{number}.parquet is not what .* --date {DAYS[3]} --full`"):
        forget(store, gone)
    assert {date: find_pointer(store, CORPUS, date) for date in (None, *DAYS)} == before
    with undertake(store, "rollback") as held:
        roll_back(held, CORPUS, NAMES[2])
    done = forget(store, gone, run="forget-2")
    assert (done.listed, NAMES[3] in done.deleted, set(done.copies)) == (0, True, set(NAMES[:3]))
    assert objects_with(store, gone) == []


@pytest.mark.parametrize("ids", [["\udcff"], ["r-1", ""]])
def test_what_no_document_can_be_called_is_refused(ids: list[str]) -> None:
    """Without repeating it."""
    with pytest.raises(DataError, match="one of the ids is"):
        checked_ids(ids)


@pytest.mark.s3
def test_versioning_of_a_bucket_is_told(s3_url: str) -> None:
    """Off where it was never enabled, then what it was set to; unknown where the server does not tell."""
    client = boto3.client("s3")
    bucket = f"versions-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    store = open_store(f"s3://{bucket}/store")
    assert store.versioning() is Versioning.OFF
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert store.versioning() is Versioning.ENABLED
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert store.versioning() is Versioning.SUSPENDED
    assert open_store("s3://there-is-no-such-bucket").versioning() is Versioning.UNKNOWN


@pytest.mark.s3
def test_versions_that_remain_are_told(s3_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a bucket that keeps them the verb ends well, and says that they are there and what to do."""
    client = boto3.client("s3")
    bucket = f"versions-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store = filled(open_store(f"s3://{bucket}/store"))
    gone = recipes()[8][0]
    config = tmp_path / "kizami.toml"
    config.write_text(f'store = "{store.url}"\n[corpora.recipes]\nsource = "a.jsonl"\nid = "id"\nfields = ["title"]\n')
    assert main(["forget", CORPUS, "--id", gone, "--config", str(config)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "1 document of recipes forgotten (found 1); snapshots: 4 published anew, 0 unpublished deleted;"
    )
    assert "versioning of the bucket: enabled; what was deleted is still there as older versions: delete those" in out
    assert gone not in out
    assert objects_with(store, gone) == []


def test_ids_of_another_form_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is to think that a document is gone because its id was put on the list as nobody writes it."""
    filled(open_store(str(tmp_path / "store")))
    config = tmp_path / "kizami.toml"
    ids = '["site", "recipe_id"]'
    config.write_text(f'store = "store"\n[corpora.recipes]\nsource = "a.jsonl"\nid = {ids}\nfields = ["title"]\n')
    assert main(["forget", CORPUS, "--id", "a/b/5", "a%2Fb/6", "--config", str(config)]) == 0
    out = capsys.readouterr().out
    assert "1 of the ids is not of the form site/recipe_id" in out
    assert "b/5" not in out
    assert main(["forget", CORPUS, "--id", "a%2Fb/5", "--config", str(config)]) == 0
    assert "form" not in capsys.readouterr().out


GONE = (recipes()[8][0], recipes()[21][0])


def crash_store(clock: Clock) -> MemoryStore:
    """Two dates, a candidate, staging, and quarantine of a failed run, all with a document that is to go."""
    store = MemoryStore(clock)
    for key, body in crash_objects().items():
        store.put(key, body)
    return store


@cache
def crash_objects() -> dict[str, bytes]:
    store = MemoryStore()
    for name, day in ((NAMES[0], DAYS[0]), (NAMES[3], DAYS[3])):
        publish_in(store, Recipe(recipes(24), date=day, snapshot=name, part_bytes=1024))
    put_candidate(store, "candidate", recipes(24))
    store.put(layout.quarantine_key(CORPUS, "failed"), held_back(GONE[0], "held-1"))
    store.put(layout.tombstone_key(CORPUS, "candidate"), b"{}")
    return {key: body for key, (body, _) in store.objects.items()}


def crashes() -> Iterator[tuple[int, bool]]:
    """Every request of a take-down, before it and after it was carried out."""
    for number in range(requests_of(crash_store(Clock()), lambda store: forget(store, *GONE))):
        yield number, False
        yield number, True


@pytest.mark.parametrize(("crash_at", "carried_out"), list(crashes()))
def test_a_crash_leaves_whole_snapshots_and_a_second_time_finishes(crash_at: int, carried_out: bool) -> None:
    """Readers see the original or the copy; afterwards nothing of the documents is left, and all else is."""
    clock = Clock()
    store = crash_store(clock)
    before = rows(store, NAMES[3])
    killed(store, lambda dying: forget(dying, *GONE), crash_at, carried_out=carried_out)
    seen = named(store)
    assert len(seen) == 3
    for snapshot in seen.values():
        assert rows(store, snapshot).num_rows in {before.num_rows, without(before, GONE).num_rows}
    clock.now += 100
    forget(store, *GONE, run="forget-2")
    after = shown(store)
    assert len(after) == 3
    assert folders(store) == set(after.values())
    for snapshot in after.values():
        assert rows(store, snapshot).equals(without(before, GONE))
    assert [objects_with(store, each) for each in GONE] == [[], []]
    assert head(store).catalogue.doomed == ()
    assert {each.snapshot for each in head(store).catalogue.publications} == set(after.values())
    [left] = list(store.list(layout.quarantine_prefix(CORPUS)))
    assert pq.read_table(pa.BufferReader(store.get(left.key).body))["doc_id"].to_pylist() == ["held-1"]


@pytest.mark.parametrize(("crash_at", "carried_out"), list(crashes()))
def test_retention_after_a_crash_keeps_what_readers_are_shown(crash_at: int, carried_out: bool) -> None:
    """It deletes the originals that were replaced, and no copy's quarantine, whatever was deleted before; in time it
    deletes copies that were never published."""
    clock = Clock()
    store = crash_store(clock)
    for name in (NAMES[0], NAMES[3]):
        key = layout.manifest_key(CORPUS, name)
        own = layout.quarantine_key(CORPUS, f"run-of-{name}")
        store.put(key, json_form.encode(replace(decode_manifest(store.get(key).body, key), quarantine=own)))
        store.put(own, held_back(GONE[0], "held-1"))
    killed(store, lambda dying: forget(dying, *GONE), crash_at, carried_out=carried_out)
    for later in (100.0, 8 * 86_400.0):
        clock.now += later
        with undertake(store, "gc", f"gc-{later:.0f}") as held:
            clean(store, held.lease, CORPUS, Terms())
        for snapshot in shown(store).values():
            named_file = find_manifest(store, CORPUS, snapshot).quarantine
            assert named_file is not None
            assert "held-1" in pq.read_table(pa.BufferReader(store.get(named_file).body))["doc_id"].to_pylist()
    assert folders(store) == set(shown(store).values())
