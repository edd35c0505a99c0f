"""The lease on real stores: beats, rivals, takeovers, lost answers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from kizami import layout
from kizami.commit import Head, Holder, LockTiming
from kizami.errors import CommitStateUnknownError, DataError, LockHeldError, LockLostError, UnavailableError
from kizami.lease import Lease
from kizami.stores import ObjectStore, OutcomeUnknownError, open_store
from support.memory_store import MemoryStore
from support.publishing import (
    CORPUS,
    HEAD,
    LATEST,
    SHORT,
    SHORT_S3,
    head,
    holder,
    nobody_died,
    pointer,
    read,
    take,
    take_over,
)


@pytest.fixture
def memory() -> MemoryStore:
    """A store in memory by the monotonic clock."""
    return MemoryStore(time.monotonic)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store_and_timing(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ObjectStore, LockTiming]:
    """A real store, and a timing that its clock can measure."""
    if request.param == "local":
        return open_store(str(tmp_path / "store")), SHORT
    return open_store(request.getfixturevalue("s3_url")), SHORT_S3


@contextmanager
def paused(lease: Lease) -> Iterator[None]:
    """Let nothing beat, as in a process that is stopped; it goes on where it was."""
    with lease._mutex:
        yield


def test_a_run_takes_publishes_and_releases(store_and_timing: tuple[ObjectStore, LockTiming]) -> None:
    """The first run has no predecessor; the next finds the first's snapshot; both pointers name the newest commit."""
    store, timing = store_and_timing
    with take(store, "run-1", timing) as lease:
        assert lease.predecessor is None
        made = lease.commit(pointer("s1"))
        assert made == pointer("s1", commit=1)
        assert lease.settled
    assert head(store).holder is None
    with take(store, "run-2", timing) as lease:
        assert lease.predecessor == made
        assert lease.commit(pointer("s2")).commit == 2
        assert lease.commit(pointer("old", date="2026-11-01")).commit == 3
    assert read(store, LATEST) == pointer("s2", commit=2)
    assert read(store, layout.date_key(CORPUS, "2026-11-23")) == pointer("s2", commit=2)
    assert read(store, layout.date_key(CORPUS, "2026-11-01")) == pointer("old", date="2026-11-01", commit=3)
    assert head(store).unfinished is None


def test_a_held_lock_says_who_holds_it(memory: MemoryStore) -> None:
    """The loser learns run, host, since when and what to do, on one line; exit code 75."""
    with take(memory, "run-1"), pytest.raises(LockHeldError) as caught:
        take(memory, "run-2")
    message = str(caught.value)
    assert caught.value.exit_code == 75
    assert all(word in message for word in ("recipes", "run-1", "node-7", "4711", "2026-11-23T05:00:00+09:00", "wait"))
    assert "\n" not in message


def test_of_racing_takers_exactly_one_wins(store_and_timing: tuple[ObjectStore, LockTiming]) -> None:
    """Whoever is second, by however little, gives up."""
    store, timing = store_and_timing
    barrier = Barrier(4)

    def race(number: int) -> Lease | None:
        barrier.wait()
        try:
            return take(store, f"run-{number}", timing)
        except LockHeldError:
            return None

    with ThreadPoolExecutor(4) as pool:
        leases = [lease for lease in pool.map(race, range(4)) if lease]
    assert len(leases) == 1
    leases[0].check()
    leases[0].release()


def test_of_racing_processes_exactly_one_wins(tmp_path: Path) -> None:
    """The lock holds between processes, which share nothing but the folder."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from support.publishing import CORPUS, holder\n"
        "from kizami.errors import LockHeldError\n"
        "from kizami.lease import Lease\n"
        "from kizami.stores import open_store\n"
        "def meet(name):\n"
        "    Path(f'{name}-{sys.argv[2]}').touch()\n"
        "    while len(list(Path().glob(f'{name}-*'))) < 3:\n"
        "        time.sleep(0.01)\n"
        "meet('ready')\n"
        "try:\n"
        "    lease = Lease.take(open_store(sys.argv[1]), CORPUS, holder(sys.argv[2]), on_takeover=print)\n"
        "except LockHeldError as error:\n"
        "    meet('tried')\n"
        "    sys.exit(error.exit_code)\n"
        "meet('tried')\n"
        "lease.check()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "store")]
    folders = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]  # the first for `support`
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
    processes = [subprocess.Popen([*command, f"run-{number}"], env=environment, cwd=tmp_path) for number in range(3)]
    assert sorted(process.wait(60) for process in processes) == [0, 75, 75]


def test_beats_keep_others_out(memory: MemoryStore) -> None:
    """A holder that lives past the expiry of its first write is still the holder."""
    with take(memory, "run-1") as lease:
        time.sleep(SHORT.expiry_seconds * 1.5)
        lease.check()
        with pytest.raises(LockHeldError):
            take(memory, "run-2")
        holder_now = head(memory).holder
        assert holder_now is not None
        assert holder_now.beat >= 4


def test_a_dead_holder_is_waited_for_and_replaced(store_and_timing: tuple[ObjectStore, LockTiming]) -> None:
    """Its place is free after the expiry; the newcomer learns who died, and a paused holder can publish no more."""
    store, timing = store_and_timing
    old = take(store, "run-1", timing)
    with paused(old):
        new, dead = take_over(store, "run-2", timing)
    assert dead.run == "run-1"
    assert new.dead == dead
    with pytest.raises(LockLostError):
        old.commit(pointer("from-the-grave"))
    with pytest.raises(LockLostError) as lost:
        old.check()
    assert str(old.loss) == str(lost.value)
    old.release()
    new.check()
    assert new.loss is None
    assert new.commit(pointer("s2")).commit == 1
    assert read(store, LATEST).snapshot == "s2"
    new.release()


def test_a_silent_holder_that_beats_again_keeps_its_lock(memory: MemoryStore) -> None:
    """A newcomer waits for the expiry, sees the beat, and gives up."""
    timing = LockTiming(0.2, 2.0)
    lease = take(memory, "run-1", timing)
    slept: list[float] = []

    def wake_up(seconds: float) -> None:
        slept.append(seconds)
        lease._mutex.release()
        time.sleep(0.5)
        lease._mutex.acquire()

    with paused(lease):
        time.sleep(0.5)
        with pytest.raises(LockHeldError):
            Lease.take(memory, CORPUS, holder("run-2"), on_takeover=nobody_died, sleep=wake_up)
    assert slept
    lease.check()
    lease.release()


def test_a_holder_that_cannot_beat_stops_itself(memory: MemoryStore) -> None:
    """After two thirds of the expiry without a beat the lock counts as lost, before anybody may take it."""
    lease = take(memory, "run-1")
    with paused(lease):
        lease.check()
        time.sleep(SHORT.silence_seconds + 0.05)
        with pytest.raises(LockLostError, match="could not renew"):
            lease.check()
        with pytest.raises(LockLostError):
            lease.commit(pointer("s1"))
    lease.release()


def test_a_short_outage_is_survived(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat that fails is no loss as long as the next one comes in time."""
    replace_object = memory.replace
    failures = [UnavailableError("away"), OutcomeUnknownError("away")]

    def flaky(key: str, body: bytes, etag: str) -> str:
        if failures:
            raise failures.pop()
        return replace_object(key, body, etag)

    monkeypatch.setattr(memory, "replace", flaky)
    with take(memory, "run-1") as lease:
        time.sleep(0.5)
        assert not failures
        lease.check()


def test_an_unfinished_commit_is_finished_by_the_next_holder(memory: MemoryStore) -> None:
    """A run that dies between its commit and the pointers has published: its successor shows it to readers."""
    with take(memory, "run-1") as lease:
        lease.commit(pointer("s1"))
        lease.commit(pointer("s2"))
    body, _ = memory.objects[HEAD]
    memory.put(HEAD, body.replace(b'"settled": true', b'"settled": false'))
    for key in (LATEST, layout.date_key(CORPUS, "2026-11-23")):
        memory.put(key, memory.get(key).body.replace(b'"commit": 2', b'"commit": 1').replace(b"s2", b"s1"))
    with take(memory, "run-3") as lease:
        assert lease.predecessor == pointer("s2", commit=2)
        assert lease.last_commit is not None
        assert lease.last_commit.run == "run-1"
        assert lease.settled


def test_what_retention_removed_does_not_come_back(memory: MemoryStore) -> None:
    """A finished commit is not finished again: its date's pointer may be gone by now."""
    with take(memory, "run-1") as lease:
        lease.commit(pointer("s1", date="2026-01-01"))
        memory.delete([layout.date_key(CORPUS, "2026-01-01")])
    with take(memory, "run-2"):
        assert layout.date_key(CORPUS, "2026-01-01") not in memory.objects


def test_a_commit_in_doubt_may_be_sent_again(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second commit of the same snapshot finds the first, if it was made, and makes no other."""
    timing = LockTiming()  # no beat comes between
    lease = take(memory, "run-1", timing)
    replace_object = memory.replace

    def lost(key: str, body: bytes, etag: str) -> str:
        replace_object(key, body, etag)
        raise OutcomeUnknownError("lost")

    def away(key: str) -> None:
        raise UnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(memory, "replace", lost)
        patch.setattr(memory, "get", away)
        with pytest.raises(CommitStateUnknownError, match="the next run finds out"):
            lease.commit(pointer("s1"))
    assert LATEST not in memory.objects
    assert lease.commit(pointer("s1")) == pointer("s1", commit=1)
    assert (head(memory).commits, read(memory, LATEST)) == (1, pointer("s1", commit=1))
    lease.release()


def test_readers_may_not_see_a_commit_yet(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store goes away between the commit and the pointers: state unknown, and the next holder finishes."""
    lease = take(memory, "run-1", LockTiming())

    def away(key: str, body: bytes) -> str:
        raise UnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(memory, "create", away)
        with pytest.raises(CommitStateUnknownError, match=r"commit 1 of recipes .* is made"):
            lease.commit(pointer("s1"))
    lease.release()
    with take(memory, "run-2") as successor:
        assert successor.predecessor == pointer("s1", commit=1)


@pytest.mark.parametrize("restored", [1, None])
def test_a_head_that_lags_behind_goes_on_from_the_pointers(memory: MemoryStore, restored: int | None) -> None:
    """One from a backup, or a new one where it was lost: the next commit is larger than any before, so that readers see
    it, and what the head cannot know is in the catalogue again."""
    days = ("2026-11-21", "2026-11-22", "2026-11-22")
    backup: dict[int, bytes] = {}
    for number, day in enumerate(days, 1):
        with take(memory, f"r{number}") as lease:
            lease.commit(pointer(f"s{number}", date=day))
        backup[number] = memory.get(HEAD).body
    memory.delete([HEAD])
    if restored:
        memory.put(HEAD, backup[restored])
    with take(memory, "r4") as lease:
        assert lease.predecessor == pointer("s3", date="2026-11-22", commit=3)
        assert {date: each.snapshot for date, each in lease.catalogue.shown().items()} == {
            "2026-11-21": "s1",
            "2026-11-22": "s3",
        }
        assert [each.snapshot for each in lease.catalogue.publications] == ["s1", "s3"]
        assert lease.commit(pointer("s4", date="2026-11-22")).commit == 4
    assert read(memory, LATEST).snapshot == read(memory, layout.date_key(CORPUS, "2026-11-22")).snapshot == "s4"
    assert head(memory).commits == 4


def test_rollback_moves_latest_to_an_earlier_date(memory: MemoryStore) -> None:
    """By a commit like any other, and only when asked."""
    with take(memory, "run-1") as lease:
        lease.commit(pointer("old", date="2026-11-01"))
        lease.commit(pointer("new"))
        assert lease.roll_back("old") == pointer("old", date="2026-11-01", commit=3)
        assert lease.settled
    assert read(memory, LATEST) == pointer("old", date="2026-11-01", commit=3)
    assert read(memory, layout.date_key(CORPUS, "2026-11-01")).commit == 3
    assert layout.date_key(CORPUS, "2026-11-23") not in memory.objects


def test_a_failing_takeover_gives_the_lock_back(memory: MemoryStore) -> None:
    """If the dead run's ledger cannot be closed, nobody is left holding the lock."""
    memory.put(HEAD, Head(1, holder("run-1", timing=SHORT)).encode())
    time.sleep(SHORT.expiry_seconds)

    def fails(dead: Holder) -> None:
        raise UnavailableError(dead.run)

    with pytest.raises(UnavailableError, match="run-1"):
        Lease.take(memory, CORPUS, holder("run-2", timing=SHORT), on_takeover=fails)
    assert head(memory).holder is None


def test_a_corrupt_head_stops_everybody(memory: MemoryStore) -> None:
    """Nothing is guessed about a lock that cannot be read."""
    memory.put(HEAD, b"{")
    with pytest.raises(DataError, match=HEAD):
        take(memory, "run-1")


@pytest.mark.parametrize("key", [layout.date_key(CORPUS, "2026-11-23"), LATEST])
def test_a_damaged_pointer_does_not_stop_the_commit_that_replaces_it(memory: MemoryStore, key: str) -> None:
    """What belongs there is in the commit."""
    with take(memory, "run-1") as lease:
        lease.commit(pointer("s1"))
    with take(memory, "run-2") as lease:
        memory.put(key, b"{")
        assert lease.commit(pointer("s2")).commit == 2
        assert lease.settled
    assert read(memory, key) == pointer("s2", commit=2)


def test_what_is_no_pointer_of_a_date_is_left_alone(memory: MemoryStore) -> None:
    """As the folders that consoles of S3 make: objects whose key ends with a slash."""
    with take(memory, "run-1") as lease:
        lease.commit(pointer("s1"))
    dates = layout.dates_prefix(CORPUS)
    memory.objects |= {dates: (b"", 0.0), f"{dates}notes.txt": (b"?", 0.0), f"{dates}2026-11-31.json": (b"{", 0.0)}
    with take(memory, "run-2") as lease:
        assert lease.commit(pointer("s2")).commit == 2
    assert {dates, f"{dates}notes.txt", f"{dates}2026-11-31.json"} <= memory.objects.keys()


def test_a_lease_is_for_its_corpus_only(memory: MemoryStore) -> None:
    """Neither a foreign holder nor a foreign pointer is written."""
    with pytest.raises(ValueError, match="articles"):
        Lease.take(memory, "articles", holder("run-1"), on_takeover=nobody_died)
    with take(memory, "run-1") as lease, pytest.raises(ValueError, match="schema 2"):
        lease.commit(replace(pointer("s1"), schema=2))
