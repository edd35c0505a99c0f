"""Rollback on stores: what readers are shown afterwards, and after a crash at any request of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from kizami import layout
from kizami.catalogue import State
from kizami.conversation import perform
from kizami.errors import DataError
from kizami.lease import Lease
from kizami.protocol import Place
from kizami.stores import ObjectStore
from kizami.survey import survey
from support.crashing_store import CrashingStore, KilledError, killed, requests_of
from support.memory_store import Clock, MemoryStore
from support.publishing import CORPUS, LATEST, head, holder, nobody_died, read
from support.shelf import go_back, manifest, publish, put_snapshot, shown, undertake

D21, D22, D23 = "2026-11-21", "2026-11-22", "2026-11-23"
WEEK = (("a", D21), ("b", D22), ("b2", D22), ("c", D23))
BEFORE = {"latest": "c", D21: "a", D22: "b2", D23: "c"}


@pytest.fixture
def store(store: ObjectStore) -> ObjectStore:
    """A store of each kind, with four snapshots of three dates."""
    return filled(store)


def filled(store: ObjectStore) -> ObjectStore:
    """The store, with the snapshots published."""
    for snapshot, date in WEEK:
        publish(store, snapshot, date)
    return store


def test_latest_and_dates_go_back(store: ObjectStore) -> None:
    """One commit; a date goes back to its earlier revision, or vanishes; the folders stay."""
    assert shown(store) == BEFORE
    done = go_back(store, "b")
    assert shown(store) == {"latest": "b", D21: "a", D22: "b"}
    assert done.pointer == read(store, LATEST) == read(store, layout.date_key(CORPUS, D22))
    assert (done.pointer.commit, done.pointer.published_at) == (5, f"{D22}T05:30:00Z")
    assert [each.snapshot for each in done.withdrawn] == ["b2", "c"]
    assert done.dates == {D22: "b", D23: None}
    assert head(store).holder is None
    assert head(store).unfinished is None
    for snapshot in ("b2", "c"):
        assert list(store.list(layout.snapshot_prefix(CORPUS, snapshot)))


def test_a_rerun_of_a_withdrawn_date_is_published_again(store: ObjectStore) -> None:
    """Its predecessor is the snapshot gone back to, its date has no pointer, and ``latest`` follows it."""
    go_back(store, "b2")
    made = manifest("c2", D23)
    with Lease.take(store, CORPUS, holder("run-9"), on_takeover=nobody_died) as lease:
        assert lease.predecessor is not None
        assert lease.predecessor.snapshot == "b2"
    assert layout.date_key(CORPUS, D23) not in {info.key for info in store.list("")}
    publish(store, made.snapshot, D23)
    assert shown(store) == {"latest": "c2", D21: "a", D22: "b2", D23: "c2"}


def test_forward_again(store: ObjectStore) -> None:
    """A withdrawn snapshot can be named, and its tombstone goes before it is shown."""
    go_back(store, "a")
    assert shown(store) == {"latest": "a", D21: "a"}
    store.put(layout.tombstone_key(CORPUS, "c"), b"{}")
    store.put(layout.tombstone_key(CORPUS, "b2"), b"{}")
    done = go_back(store, "c", run="rollback-2")
    assert shown(store) == {"latest": "c", D21: "a", D23: "c"}
    assert (done.withdrawn, done.dates) == ((), {D23: "c"})
    tombstones = [info.key for info in store.list(layout.tombstone_key(CORPUS, "x").removesuffix("x.json"))]
    assert tombstones == [layout.tombstone_key(CORPUS, "b2")]


def test_nothing_to_do(store: ObjectStore) -> None:
    """Going back to where one is makes no commit."""
    done = go_back(store, "c")
    assert done.did_nothing
    assert (head(store).commits, shown(store)) == (4, BEFORE)


def test_an_unknown_snapshot_names_those_there_are(store: ObjectStore) -> None:
    """The newest first, what is withdrawn marked; a candidate was never published; nothing is changed."""
    put_snapshot(store, manifest("candidate"))
    go_back(store, "b2")
    before = head(store).commits
    for number, name in enumerate(("d", "candidate")):
        with pytest.raises(DataError) as caught:
            go_back(store, name, run=f"refused-{number}")
        assert str(caught.value) == (
            f"no snapshot {name!r} of recipes was published; there are: c (2026-11-23, withdrawn), b2 (2026-11-22), "
            "b (2026-11-22), a (2026-11-21)"
        )
    assert head(store).commits == before
    assert head(store).holder is None


def test_a_snapshot_that_is_not_whole_is_refused(store: ObjectStore) -> None:
    """Neither the one named nor one that would be shown again may lack anything."""
    store.delete([layout.part_key(CORPUS, "b", 1)])
    with pytest.raises(DataError, match=r"b is not whole, .*part-00001.parquet is missing: nothing was changed"):
        go_back(store, "b")
    go_back(store, "a", run="rollback-2")
    assert shown(store) == {"latest": "a", D21: "a"}


def test_a_snapshot_that_is_being_deleted_is_refused(store: ObjectStore) -> None:
    """What is doomed is never pointed to again, whether its objects are still there or not."""
    with Lease.take(store, CORPUS, holder("gc"), on_takeover=nobody_died) as lease:
        lease.record(lambda catalogue: catalogue.with_doomed(["b"]))
    with pytest.raises(DataError, match="'b' of recipes is being deleted; there are: c"):
        go_back(store, "b")


def test_publications_from_before_there_were_catalogues_are_known(store: ObjectStore) -> None:
    """What ``dates/`` and ``latest`` name counts as published, where ``head.json`` tells nothing of it."""
    with Lease.take(store, CORPUS, holder("old"), on_takeover=nobody_died) as lease:
        lease.record(lambda catalogue: type(catalogue)())
    go_back(store, "b2")
    assert shown(store) == {"latest": "b2", D21: "a", D22: "b2"}


def crashes() -> Iterator[tuple[int, bool]]:
    """Every request of a rollback that takes the lock and gives it back, before it and after it was carried out."""
    for number in range(requests_of(filled(MemoryStore()), lambda store: go_back(store, "b"))):
        yield number, False
        yield number, True


AFTER = {"latest": "b", D21: "a", D22: "b"}


@pytest.mark.parametrize(("crash_at", "carried_out"), list(crashes()))
def test_a_crash_leaves_the_old_state_or_one_that_is_finished(crash_at: int, carried_out: bool) -> None:
    """At every moment readers find whole snapshots; the next holder of the lock leaves all of it done, or none."""
    clock = Clock()
    store = filled(MemoryStore(clock))
    killed(store, lambda dying: go_back(dying, "b"), crash_at, carried_out=carried_out)
    seen = shown(store)
    assert set(seen.values()) <= {"a", "b", "b2", "c"}
    assert seen["latest"] in {"b", "c"}
    made = head(store).commits == 5
    clock.now += 100
    with undertake(store, "run", "next-run") as held:
        assert shown(store) == (AFTER if made else BEFORE)
        assert held.lease.predecessor is not None
        assert held.lease.predecessor.snapshot == ("b" if made else "c")
    go_back(store, "b", run="rollback-2")
    assert shown(store) == AFTER
    states = {each.snapshot: each.state for each in head(store).catalogue.publications}
    assert states == {"a": "published", "b": "published", "b2": State.WITHDRAWN, "c": State.WITHDRAWN}


def test_a_stopped_process_brings_no_withdrawn_date_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops between its commit and the pointers, others finish the commit and roll it back, it goes on: the pointer
    that it then writes does not outlast the next holder, and never leads to a run that says "nothing to do"."""
    clock = Clock()
    store = filled(MemoryStore(clock))
    create = store.create
    stopped: list[tuple[str, bytes]] = []

    def stop(key: str, body: bytes) -> str:
        if key == layout.date_key(CORPUS, "2026-11-24"):
            stopped.append((key, body))
            raise KilledError
        return create(key, body)

    with monkeypatch.context() as patch, suppress(KilledError):
        patch.setattr(store, "create", stop)
        publish(CrashingStore(store, 10_000, carried_out=False), "d", "2026-11-24")
    clock.now += 100
    go_back(store, "c")
    assert shown(store) == BEFORE
    create(*stopped[0])
    assert shown(store) == {**BEFORE, "2026-11-24": "d"}
    with undertake(store, "run", "next-run"):
        assert shown(store) == BEFORE


def test_a_stopped_holder_takes_no_date_for_a_stray() -> None:
    """It took the lock when a snapshot was withdrawn and stops; others show that snapshot again; it goes on with what
    it knew then, and leaves the pointer alone."""
    store = filled(MemoryStore())
    go_back(store, "b2")
    outdated = head(store)
    go_back(store, "c", run="rollback-2")
    found = perform(survey(Place(CORPUS), outdated), store, lambda _: None)
    assert (found.strays, found.unknown) == ((), ())
    assert shown(store) == BEFORE
