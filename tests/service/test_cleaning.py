"""Cleaning on stores: what is left afterwards, and after a crash at any request of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from kizami import json_form, layout
from kizami.cleaning import Cleaning, clean, preview
from kizami.errors import LockLostError, UnavailableError
from kizami.ledger import Ledger, RunEntry, State
from kizami.retention import Terms
from kizami.stores import ObjectInfo, ObjectStore, open_store
from support.crashing_store import killed, requests_of
from support.memory_store import Clock, MemoryStore
from support.publishing import CORPUS, head
from support.shelf import folders, go_back, manifest, publish, put_snapshot, shown, undertake

DAY = 86400.0
DATES = [f"2026-11-{day}" for day in range(20, 25)]
NOW = Terms(
    dates=2, grace_seconds=0, candidate_seconds=0, fragment_seconds=0, staging_seconds=0, quarantine_seconds=0, runs=2
)
"""Terms under which everything is ripe at once: what the real stores' clocks cannot be made to show."""
LEFT = {"latest": "s24", "2026-11-23": "s23", "2026-11-24": "s24"}


def gc(store: ObjectStore, terms: Terms = NOW, run: str = "gc-1") -> Cleaning:
    """Clean up under the lock."""
    with undertake(store, "gc", run) as held:
        return clean(store, held.lease, CORPUS, terms)


def quarantine(run: str) -> str:
    """Key of a run's quarantine."""
    return layout.quarantine_key(CORPUS, run)


def filled(store: ObjectStore) -> ObjectStore:
    """A store with five dates, a superseded revision, a candidate, a fragment, and what killed runs leave."""
    for date in DATES:
        publish(store, f"s{date[-2:]}", date, quarantine=quarantine(f"q{date[-2:]}"))
    publish(store, "s23-old", "2026-11-23")
    publish(store, "s23-new", "2026-11-23")
    go_back(store, "s24", run="rollback-0")  # so that s23 is back: published before s24
    put_snapshot(store, manifest("candidate"))
    store.put(layout.part_key(CORPUS, "fragment", 0), b"half")
    store.put(layout.staging_key(CORPUS, "left-over"), b"part")
    store.put(quarantine("failed"), b"held back")
    for number in range(4):
        entry = RunEntry(f"2026112{number}-r", "run", CORPUS, "2026-11-20", State.FAILED, "read", "")
        store.put(layout.run_key(CORPUS, entry.run), json_form.encode(entry))
    return store


@pytest.fixture
def store(store: ObjectStore) -> ObjectStore:
    """A filled store of each kind."""
    return filled(store)


def listed(store: ObjectStore, folder: str) -> list[str]:
    """Names in a folder of the corpus."""
    prefix = f"{layout.corpus_prefix(CORPUS)}{folder}/"
    return [info.key.removeprefix(prefix) for info in store.list(prefix)]


def test_pointers_first_folders_next_time(store: ObjectStore) -> None:
    """The first gc takes dates back and lets the time run; the second deletes; a third has nothing to do."""
    first = gc(store)
    assert first.retired == ("2026-11-22", "2026-11-21", "2026-11-20")
    assert first.waiting == ("s20", "s21", "s22", "s23-new", "s23-old")
    assert first.snapshots == ("candidate", "fragment")
    assert shown(store) == LEFT
    assert folders(store) == {"s20", "s21", "s22", "s23", "s23-new", "s23-old", "s24"}
    assert listed(store, "staging") == []
    second = gc(store, run="gc-2")
    assert second.snapshots == first.waiting
    assert folders(store) == {"s23", "s24"}
    assert listed(store, "quarantine") == ["q23.parquet", "q24.parquet"]
    gc(store, run="gc-3")
    assert listed(store, "tombstones") == []
    assert head(store).catalogue.doomed == ()
    assert [each.snapshot for each in head(store).catalogue.publications] == ["s23", "s24"]
    assert str(gc(store, Terms(dates=2), run="gc-4")) == "nothing to clean up"
    assert shown(store) == LEFT


def test_the_newest_entries_of_the_ledger_stay(store: ObjectStore) -> None:
    """By the run's id, which sorts by time; its own entry is among them."""
    gc(store, run="20261125-gc")
    assert listed(store, "runs") == ["20261125-gc.json", "rollback-0.json"]


def test_a_reader_has_24_hours() -> None:
    """By the store's clock, from when the pointer went; what gc finds a minute earlier it leaves."""
    clock = Clock()
    store = filled(MemoryStore(clock))
    clock.now += 40 * DAY  # old snapshots, whose pointers stand until now
    terms = Terms(dates=2)
    gc(store, terms)
    assert {"s20", "s21", "s22", "s23-old"} <= folders(store)
    clock.now += DAY - 60
    gc(store, terms, run="gc-2")
    assert {"s20", "s21", "s22", "s23-old"} <= folders(store)
    clock.now += 60
    gc(store, terms, run="gc-3")
    assert folders(store) == {"s23", "s24"}
    assert shown(store) == LEFT


def test_a_dry_run_tells_and_changes_nothing(store: ObjectStore) -> None:
    """What it tells is what gc then does; it needs no lock."""
    before = {info.key: store.get(info.key).etag for info in store.list("")}
    with undertake(store, "run", "20261126-holder"):
        told = preview(store, CORPUS, Terms(dates=2, candidate_seconds=0, fragment_seconds=0))
    store.delete([layout.run_key(CORPUS, "20261126-holder")])
    del before[layout.head_key(CORPUS)]
    assert {key: store.get(key).etag for key in before} == before
    assert gc(store, Terms(dates=2, candidate_seconds=0, fragment_seconds=0)) == told


def test_a_corpus_without_anything(tmp_path: Path) -> None:
    """Neither gc nor its dry run minds."""
    store = open_store(str(tmp_path / "store"))
    assert str(preview(store, CORPUS, NOW)) == "nothing to clean up"
    assert str(gc(store)) == "nothing to clean up"


def test_what_was_published_without_a_catalogue_is_kept() -> None:
    """Pointers count, whatever ``head.json`` tells."""
    store = filled(MemoryStore())
    with undertake(store, "run") as held:
        held.lease.record(lambda catalogue: type(catalogue)())
    gc(store)
    gc(store, run="gc-2")
    assert shown(store) == LEFT


def test_quarantine_stays_where_a_manifest_cannot_be_read() -> None:
    """Whose it is cannot be told then; everything else is cleaned up."""
    store = filled(MemoryStore())
    store.put(layout.manifest_key(CORPUS, "s23"), b"{")
    gc(store)
    assert listed(store, "quarantine") == [f"{name}.parquet" for name in ("failed", "q20", "q21", "q22", "q23", "q24")]
    assert "candidate" not in folders(store)


def test_a_thousand_objects_go_in_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """One listing, and a deletion for each thousand keys."""
    store = filled(MemoryStore())
    for number in range(2500):
        store.put(layout.staging_key(CORPUS, f"{number:04d}"), b"")
    calls: list[int] = []
    delete = store.delete

    def counted(keys: Iterable[str]) -> None:
        listed = list(keys)
        calls.append(len(listed))
        delete(listed)

    monkeypatch.setattr(store, "delete", counted)
    gc(store)
    assert max(calls) == 1000
    assert sum(calls) > 2500
    assert len(calls) == 4  # manifests and quarantine; three times objects


def test_a_lost_lock_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks before each deletion."""
    store = filled(MemoryStore())
    with undertake(store, "gc") as held:
        monkeypatch.setattr(held.lease, "_loss", "somebody else has it")
        with pytest.raises(LockLostError):
            clean(store, held.lease, CORPUS, NOW)
    assert "candidate" in folders(store)


def test_nothing_is_removed_while_a_commit_is_unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next holder would finish it again, and bring back the pointer of a date that is gone."""
    store = filled(MemoryStore())
    with undertake(store, "gc") as held:
        monkeypatch.setattr(type(held.lease), "settled", property(lambda _: False))
        with pytest.raises(UnavailableError, match="put off"):
            clean(store, held.lease, CORPUS, NOW)
    assert {"candidate", "s20"} <= folders(store)
    assert set(listed(store, "dates")) == {f"{date}.json" for date in DATES}


def test_a_stopped_gc_that_goes_on_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops before it deletes a withdrawn snapshot: nobody can go back to that any more, so it may go on."""
    store = filled(MemoryStore())
    publish(store, "s25", "2026-11-25")
    go_back(store, "s24", run="rollback-1")
    gc(store)
    held_back: list[list[str]] = []
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", lambda keys: held_back.append(list(keys)))
        gc(store, run="gc-2")
    with pytest.raises(Exception, match="is being deleted"):
        go_back(store, "s25", run="rollback-2")
    go_back(store, "s23", run="rollback-3")
    for keys in held_back:
        store.delete(keys)
    assert shown(store) == {"latest": "s23", "2026-11-23": "s23"}


def crashes() -> Iterator[tuple[int, bool]]:
    """Every request of a gc that has all kinds of things to delete, before it and after it was carried out."""
    for number in range(requests_of(ripe(Clock()), gc)):
        yield number, False
        yield number, True


def ripe(clock: Clock) -> MemoryStore:
    """A store where one gc takes a date back, writes tombstones, and deletes snapshots of every kind."""
    store = MemoryStore(clock)
    filled(store)
    gc(store, Terms(dates=3), run="gc-0")
    return store


@pytest.mark.parametrize(("crash_at", "carried_out"), list(crashes()))
def test_a_crash_leaves_readers_alone_and_the_rest_to_the_next(crash_at: int, carried_out: bool) -> None:
    """At every moment every pointer names a whole snapshot, also one that a rollback may still go to; the gc after it
    leaves what a gc without a crash leaves."""
    clock = Clock()
    store = ripe(clock)
    killed(store, gc, crash_at, carried_out=carried_out)
    seen = shown(store)
    assert LEFT.items() <= seen.items() <= {**LEFT, "2026-11-22": "s22"}.items()
    clock.now += 100
    for snapshot in [each.snapshot for each in head(store).catalogue.publications]:
        assert {info.key for info in store.list(layout.snapshot_prefix(CORPUS, snapshot))}
    for number in range(3):
        gc(store, run=f"gc-{number + 2}")
    assert shown(store) == LEFT
    assert folders(store) == {"s23", "s24"}
    assert listed(store, "tombstones") == listed(store, "staging") == []
    assert head(store).catalogue.doomed == ()
    assert listed(store, "quarantine") == ["q23.parquet", "q24.parquet"]


@pytest.mark.parametrize(("crash_at", "carried_out"), list(crashes())[::3])
def test_a_rollback_after_a_crash_of_gc_shows_whole_snapshots(crash_at: int, carried_out: bool) -> None:
    """What gc had begun to delete cannot be named; what can be named is whole."""
    clock = Clock()
    store = ripe(clock)
    killed(store, gc, crash_at, carried_out=carried_out)
    clock.now += 100
    for number, each in enumerate(head(store).catalogue.publications):
        go_back(store, each.snapshot, run=f"rollback-{number + 1}")
        assert shown(store)["latest"] == each.snapshot


def test_a_gc_killed_is_closed_as_died() -> None:
    """The next verb under the lock writes it into the ledger."""
    clock = Clock()
    store = ripe(clock)
    killed(store, gc, 12, carried_out=True)
    clock.now += 100
    gc(store, Terms(), run="gc-2")
    entries = {entry.run: entry.state for entry in Ledger(store, CORPUS).history()}
    assert entries["gc-1"] is State.DIED


def test_ages_are_those_of_the_listing(tmp_path: Path) -> None:
    """A hard link in a local folder has its source's age: the manifest decides, and the tombstone."""
    store = open_store(str(tmp_path / "store"))
    put_snapshot(store, manifest("candidate"))
    infos: list[ObjectInfo] = list(store.list(layout.manifests_prefix(CORPUS)))
    assert [info.age_seconds < 60 for info in infos] == [True]
    gc(store, Terms())
    assert "candidate" in folders(store)
