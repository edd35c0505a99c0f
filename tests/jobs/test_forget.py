"""Forgetting documents through the command line and the daily job, whose source still has them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kizami import layout
from kizami.assembly import assemble
from kizami.errors import DataError, LockLostError
from kizami.ledger import State
from kizami.readers import find_pointer
from kizami.stores import open_store
from support.job import configuration, kizami, run
from support.kitchen import expected_texts, recipes, write_jsonl
from support.store_contents import Published, ledger, published, read_parquet

pytestmark = pytest.mark.ray

DAYS = ("2026-11-22", "2026-11-23")
DOCUMENTS = recipes(60)
GONE = [DOCUMENTS[7], DOCUMENTS[23]]
IDS = [document["recipe_id"] for document in GONE]
LEFT = [document for document in DOCUMENTS if document not in GONE]
TWICE = DOCUMENTS[40]
"""A document that the source has two times, so that it is held back."""


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def config(request: pytest.FixtureRequest, local_ray: int, tmp_path: Path) -> Path:
    """A corpus with snapshots of two dates."""
    store = "./store" if request.param == "local" else request.getfixturevalue("s3_url")
    write_jsonl(tmp_path / "source" / "recipes.jsonl", DOCUMENTS[:50])
    made = configuration(tmp_path, store=store, source="./source", part_bytes="2KiB")
    _run(made, DAYS[0])
    write_jsonl(tmp_path / "source" / "recipes.jsonl", DOCUMENTS)
    _run(made, DAYS[1])
    return made


def _run(config: Path, day: str) -> Any:
    return run(config, day=day, as_of_now=True).entry


def _store(config: Path) -> str:
    line = config.read_text("utf-8").splitlines()[0].split('"')[1]
    return line if line.startswith("s3://") else str(config.parent / line)


def _objects_with(store: str, doc_id: str) -> list[str]:
    """Keys of the objects in whose bytes an id stands, Parquet columns decoded."""
    opened, found = open_store(store), []
    for info in opened.list(""):
        body = opened.get(info.key).body
        if info.key.endswith(".parquet"):
            body += json.dumps(read_parquet(f"{store}/{info.key}", ["doc_id"]).to_pydict(), ensure_ascii=False).encode()
        if doc_id.encode() in body:
            found.append(info.key)
    return found


def _whole(snapshot: Published) -> bool:
    """Whether texts in are rows, quarantined and forgotten ones."""
    counts = snapshot.manifest.counts
    return counts.texts == counts.rows + counts.quarantined + counts.forgotten


def test_forgotten_documents_do_not_come_back(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every snapshot is published anew without them; the next run leaves them out and says how many texts they have;
    the one after that has nothing to do."""
    store = _store(config)
    before = {day: published(store, date=day) for day in DAYS}
    rows = {day: each.rows() for day, each in before.items()}
    code, answer, _ = kizami(capsys, "forget", "recipes", "--id", *IDS, "--config", config)
    assert (code, answer["run"]["state"], answer["documents"], answer["found"]) == (0, State.DONE, 2, 2)
    assert set(answer["copies"]) == {each.pointer.snapshot for each in before.values()}
    assert not any(each in json.dumps(answer, ensure_ascii=False) for each in IDS)
    for day, old in rows.items():
        after = published(store, date=day)
        assert after.rows().equals(old.filter(pc.invert(pc.is_in(old["doc_id"], pa.array(IDS)))))
        assert _whole(after)
    assert published(store).texts() == expected_texts(LEFT)
    assert [_objects_with(store, each) for each in IDS] == [[], []]

    first = _run(config, DAYS[1])
    assert first.state is State.PUBLISHED
    assert first.counts.forgotten == len(expected_texts(GONE))
    assert first.counts.texts == len(expected_texts(DOCUMENTS)) == first.counts.rows + first.counts.forgotten
    assert (first.counts.texts_analysed, first.counts.parts_analysed <= 2) == (0, True)
    assert next(gate for gate in first.gates if gate.name == "reconciliation").value == 0
    again = published(store)
    assert again.texts() == expected_texts(LEFT)
    assert _whole(again)
    assert again.manifest.counts.forgotten == first.counts.forgotten
    assert _run(config, DAYS[1]).state is State.UNCHANGED
    assert kizami(capsys, "verify", "recipes", "--config", config)[0] == 0
    copy = answer["copies"][before[DAYS[1]].pointer.snapshot]
    code, diff, _ = kizami(capsys, "diff", "recipes", copy, "latest", "--config", config)
    assert (code, set(diff["changes"]["texts"].values())) == (0, {0})
    assert [_objects_with(store, each) for each in IDS] == [[], []]
    kinds = [(entry.verb, entry.state) for entry in ledger(store)][:3]
    assert kinds == [("run", State.UNCHANGED), ("run", State.PUBLISHED), ("forget", State.DONE)]


def test_what_is_held_back_is_forgotten_too(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A document in quarantine leaves it, and does not come back there; one of the list's file, an id a line."""
    store, doc_id = _store(config), TWICE["recipe_id"]
    write_jsonl(config.parent / "source" / "twice.jsonl", [TWICE])
    _run(config, DAYS[1])
    assert {row["doc_id"] for row in published(store).quarantine()} == {doc_id}
    (config.parent / "ids.txt").write_text(f"{doc_id}\n{doc_id}\n", "utf-8")
    code, answer, _ = kizami(capsys, "forget", "recipes", "--ids-file", config.parent / "ids.txt", "--config", config)
    assert (code, answer["documents"], answer["found"]) == (0, 1, 1)
    assert published(store).quarantine() == []
    assert _objects_with(store, doc_id) == []
    entry = _run(config, DAYS[1])
    assert (entry.counts.quarantined, entry.counts.forgotten) == (0, 2 * len(expected_texts([TWICE])))
    assert _objects_with(store, doc_id) == []


def test_a_plan_leaves_them_out_and_they_cannot_be_reprocessed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`plan` says what the run then does; `reprocess` ends with 65, and neither says the id again."""
    kizami(capsys, "forget", "recipes", "--id", *IDS, "--config", config)
    arguments = ("recipes", "--date", DAYS[1], "--as-of-now", "--config", config)
    code, plan, _ = kizami(capsys, "plan", *arguments)
    left = len(expected_texts(LEFT))
    assert (code, plan["published"], plan["texts_analysed"], plan["texts_reused"]) == (0, None, 0, left)
    assert (plan["texts"]["unchanged"] >= left, plan["texts"]["new"], plan["texts"]["gone"]) == (True, 0, 0)
    code, answer, err = kizami(capsys, "reprocess", *arguments, "--id", IDS[0])
    assert (code, "1 of the 1 ids" in answer["message"]) == (65, True)
    assert IDS[0] not in answer["message"] + err
    assert _objects_with(_store(config), IDS[0]) == []
    _run(config, DAYS[1])
    assert kizami(capsys, "plan", *arguments)[1]["published"] == published(_store(config)).pointer.snapshot


def test_an_unknown_id_is_forgotten_beforehand(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0, and it says that no snapshot had it; a document with that id is never taken in."""
    code = kizami(capsys, "forget", "recipes", "--id", "肉じゃが-9999", "--config", config)[0]
    assert code == 0
    assert "in no snapshot" in (ledger(_store(config))[0].outcome or "")
    write_jsonl(config.parent / "source" / "new.jsonl", [{**DOCUMENTS[0], "recipe_id": "肉じゃが-9999"}])
    assert _run(config, DAYS[1]).counts.forgotten == len(expected_texts(DOCUMENTS[:1]))
    assert published(_store(config)).texts() == expected_texts(DOCUMENTS)


def test_a_source_of_which_all_is_forgotten_has_no_texts(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is like an empty one: nothing is published unless that is asked for."""
    write_jsonl(config.parent / "source" / "recipes.jsonl", GONE)
    kizami(capsys, "forget", "recipes", "--id", *IDS, "--config", config)
    with pytest.raises(DataError, match="has no texts to publish"):
        _run(config, DAYS[1])


def test_readers_see_whole_snapshots_meanwhile(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that follows ``latest.json`` again and again finds every part, unless the pointer has moved on since."""
    store = _store(config)
    opened = open_store(store)
    counts = {len(expected_texts(DOCUMENTS)), len(expected_texts(LEFT))}
    done = threading.Event()
    seen: list[int] = []
    torn: list[str] = []

    def read() -> None:
        while True:
            last = done.is_set()
            pointer = find_pointer(opened, "recipes")
            assert pointer is not None
            try:
                seen.append(published(store).rows(["doc_id"]).num_rows)
            except (OSError, DataError) as error:  # deleted under its hands: then it is not the newest any more
                if find_pointer(opened, "recipes") == pointer:
                    torn.append(str(error))
            if last:
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert kizami(capsys, "forget", "recipes", "--id", *IDS, "--config", config)[0] == 0
    finally:
        done.set()
        reader.join()
    assert torn == []
    assert set(seen) <= counts
    assert seen[-1] == len(expected_texts(LEFT))
    assert not list(opened.list(layout.staging_prefix("recipes")))


def test_a_run_that_stopped_for_a_take_down_leaves_nothing_behind(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on after the search for traces, writes what was under way, finds its lock lost, and takes it back;
    what a worker of its writes even later goes at the end of the next run."""
    write_jsonl(tmp_path / "source" / "recipes.jsonl", [*DOCUMENTS, TWICE])
    lock = '[lock]\nbeat = "0.2s"\nexpiry = "1s"\n'
    config = configuration(tmp_path, store="./store", source="./source", head=lock)
    ids = [*IDS, TWICE["recipe_id"]]
    late: dict[str, bytes] = {}

    def stopped(*given: Any, check: Any, **more: Any) -> Any:
        store, corpus, snapshot = given[:3]
        entries = assemble(*given, check=check, **more)
        held_back = layout.quarantine_key(corpus, check.__self__.record.entry.run)
        late[layout.staging_key(corpus, "late")] = store.get(layout.part_key(corpus, snapshot, 0)).body
        written = {key: store.get(key).body for key in (layout.part_key(corpus, snapshot, 0), held_back)}
        with check.__self__.lease._mutex:  # no beats, as in a process that is stopped
            code = 75
            while code == 75:
                code, answer, _ = kizami(capsys, "forget", corpus, "--id", *ids, "--config", config)
        assert code == 0, answer
        assert not any(_objects_with(_store(config), doc_id) for doc_id in ids)
        for key, body in written.items():
            store.put(key, body)
        check()
        return entries

    monkeypatch.setattr("kizami.snapshot_making.assemble", stopped)
    with pytest.raises(LockLostError):
        run(config)
    assert not any(_objects_with(_store(config), doc_id) for doc_id in ids)
    monkeypatch.undo()
    for key, body in late.items():  # what a worker may still write that nobody can reach
        open_store(_store(config)).put(key, body)
    assert run(config).entry.counts.forgotten > 0
    assert not any(_objects_with(_store(config), doc_id) for doc_id in ids)
