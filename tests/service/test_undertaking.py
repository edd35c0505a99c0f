"""The last word of work that a signal has not ended in time: what is done, and what the store does not know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kizami.config import LockConfig
from kizami.curfew import Farewell
from kizami.errors import DataError, InterruptedRunError, UnavailableError
from kizami.ledger import Ledger, RunEntry, State
from kizami.pointer import Pointer
from kizami.signals import Interruption
from kizami.undertaking import Undertaking, undertaking
from support.memory_store import MemoryStore

ENTRY = RunEntry("r-1", "run", "recipes", "2026-11-23", State.STARTED, "lock", "2026-11-23T05:00:00Z")
LOCKED = "its lock is not given back, and expires after 90 s; then go on"
OPEN = f"the store was not told of the end of r-1: its entry in the ledger is not closed, {LOCKED}"
POINTER = Pointer(
    schema=1,
    corpus="recipes",
    snapshot="s-1",
    date="2026-11-23",
    path="v1/recipes/snapshots/s-1/",
    glob="v1/recipes/snapshots/s-1/part-*.parquet",
    manifest="v1/recipes/manifests/s-1.json",
    rows=0,
    published_at="2026-11-23T05:00:00Z",
    fingerprint="f" * 32,
    commit=0,
)


class AskedStore(MemoryStore):
    """A store that can be away, and asks for the last word whenever the lock or a pointer is written."""

    def __init__(self) -> None:
        super().__init__()
        self.interruption = Interruption()
        self.is_away = False
        self.hurried = 0
        self.heard: list[Farewell] = []

    def replace(self, key: str, body: bytes, etag: str) -> str:
        if self.is_away:
            raise UnavailableError("the store is away")
        return super().replace(key, body, etag)

    def create(self, key: str, body: bytes) -> str:
        self.heard.append(self.interruption.farewell(15))
        return super().create(key, body)

    def hurry(self) -> None:
        self.hurried += 1


@pytest.fixture
def store() -> AskedStore:
    """An empty store."""
    return AskedStore()


@pytest.fixture
def held(store: AskedStore) -> Iterator[Undertaking]:
    """A run that holds the lock."""
    with undertaking(store, LockConfig(), ENTRY, say=print, interruption=store.interruption) as held:
        yield held


def test_the_work_is_not_done(store: AskedStore, held: Undertaking) -> None:
    """Nothing was published, and the store knows of no end."""
    farewell = store.interruption.farewell(15)
    assert farewell.exit_code == 143
    assert farewell.message == (
        "interrupted by signal 15: nothing was published; start the run again to go on (it did not stop by itself); "
        + OPEN
    )


def test_the_work_has_failed_before(held: Undertaking) -> None:
    """The error that ended it is the one to tell, and the ledger has it."""
    held.record.fail(DataError("a.jsonl is truncated"))
    farewell = held.farewell(2)
    assert (farewell.exit_code, farewell.error) == (65, "DataError")
    assert farewell.message.startswith("a.jsonl is truncated (it did not stop by itself); ")
    assert "ledger" not in farewell.message
    assert LOCKED in farewell.message


def test_the_work_is_done(held: Undertaking) -> None:
    """What hangs is only what comes afterwards."""
    held.record.end(State.PUBLISHED)
    assert held.farewell(15).exit_code == 0
    assert "run r-1 is done (published) (it did not stop by itself)" in held.farewell(15).message


def test_in_the_middle_of_a_commit_nobody_knows(store: AskedStore, held: Undertaking) -> None:
    """From before it is sent until readers see it."""
    store.heard.clear()
    held.lease.commit(POINTER)
    assert {(farewell.exit_code, farewell.error) for farewell in store.heard} == {(69, "CommitStateUnknownError")}
    assert len(store.heard) == 2  # the pointers
    assert "in the middle of the commit of r-1: it may be in effect" in store.heard[0].message
    assert held.farewell(15).exit_code == 143


def test_an_interrupted_run_waits_for_no_store(store: AskedStore, caplog: pytest.LogCaptureFixture) -> None:
    """It hurries, says what could not be written, and in the end has nothing more to say."""

    def work() -> None:
        with undertaking(store, LockConfig(), ENTRY, say=print, interruption=store.interruption):
            store.is_away = True
            raise InterruptedRunError(15)

    with pytest.raises(InterruptedRunError):
        work()
    assert store.hurried
    assert [record.getMessage() for record in caplog.records] == [
        "the lock of recipes was not given back: the store is away",
        "the end of run r-1 is not in the ledger: the store is away",
    ]
    assert store.interruption.farewell(15).message.endswith("(it did not stop by itself, and was ended)")


def test_a_store_that_knows_all_leaves_nothing_undone(store: AskedStore) -> None:
    """After the end of the work."""
    with undertaking(store, LockConfig(), ENTRY, say=print) as held:
        held.record.end(State.DONE)
    assert held.undone == ""
    entry = Ledger(store, "recipes").find("r-1")
    assert entry is not None
    assert entry.state is State.DONE
