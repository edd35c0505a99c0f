"""The last resort: a run that was told to stop and hangs is ended, its ledger closed, its lock given back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from threading import Event

import pytest

from kizami import json_form, layout
from kizami.commit import decode_head
from kizami.config import LockConfig
from kizami.errors import InterruptedRunError, KizamiError
from kizami.last_resort import LastResort
from kizami.ledger import Ledger, RunEntry, State
from kizami.stores import ConditionFailedError
from kizami.undertaking import Undertaking, undertaking
from support.memory_store import MemoryStore

ENTRY = RunEntry("r", "run", "recipes", "2026-11-23", State.STARTED, "lock", "2026-11-23T05:00:00Z")
SIGTERM = InterruptedRunError(15)


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore(time.monotonic)


@pytest.fixture
def held(store: MemoryStore) -> Iterator[Undertaking]:
    """A run that holds the lock."""
    with undertaking(store, LockConfig(), ENTRY, say=print) as held:
        yield held


class Leaving:
    """What would end the process."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.left = Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.left.set()


def test_a_run_that_hangs_after_a_signal_is_ended(
    store: MemoryStore, held: Undertaking, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its entry says interrupted, nobody holds the lock, the exit code is the signal's, and the end is told."""
    leaving, told = Leaving(), list[RunEntry]()
    with LastResort(held, lambda: SIGTERM, announce=told.append, leave=leaving, grace_seconds=0.01):
        assert leaving.left.wait(20)
    assert leaving.codes == [143]
    entry = Ledger(store, "recipes").find("r")
    assert entry is not None
    assert (entry.state, entry.exit_code) == (State.INTERRUPTED, 143)
    key = layout.head_key("recipes")
    assert decode_head(store.get(key).body, key).holder is None
    assert told == [entry]
    assert "did not stop by itself" in capsys.readouterr().err


def test_a_run_that_hangs_after_it_lost_its_lock_is_ended(store: MemoryStore) -> None:
    """As when its host was cut off, and Ray has given the host up. Its entry says so, and who has the lock keeps it."""
    key = layout.head_key("recipes")
    leaving = Leaving()
    timing = LockConfig(beat_seconds=0.05, expiry_seconds=60)
    with (
        undertaking(store, timing, ENTRY, say=print) as held,
        LastResort(held, lambda: held.lease.loss, leave=leaving, grace_seconds=0.01),
    ):
        assert not leaving.left.wait(0.2)
        while held.lease.loss is None:
            taken = store.get(key)
            head = decode_head(taken.body, key)
            assert head.holder is not None
            other = replace(head, holder=replace(head.holder, run="another", pid=1))
            with suppress(ConditionFailedError):  # it beat in between
                store.replace(key, json_form.encode(other), taken.etag)
            time.sleep(0.2)
        assert leaving.left.wait(20)
    assert leaving.codes == [75]
    entry = Ledger(store, "recipes").find("r")
    assert entry is not None
    assert (entry.state, entry.exit_code) == (State.FAILED, 75)
    holder = decode_head(store.get(key).body, key).holder
    assert holder is not None
    assert holder.run == "another"


def test_a_run_that_stops_by_itself_is_left_alone(held: Undertaking) -> None:
    """Within the grace, or without any cause to stop."""
    leaving = Leaving()
    causes: list[KizamiError | None] = [SIGTERM, None]
    for cause in causes:
        with LastResort(held, lambda cause=cause: cause, leave=leaving, grace_seconds=60):  # type: ignore[misc]
            time.sleep(0.05)
    assert leaving.codes == []
    assert held.record.entry.state is State.STARTED


def test_a_commit_is_not_cut_short(held: Undertaking) -> None:
    """In the stage that publishes, nothing is known of the outcome: the store's own limits end it."""
    leaving = Leaving()
    with (
        held.record.stage("publish"),
        LastResort(held, lambda: SIGTERM, leave=leaving, grace_seconds=0.01),
    ):
        time.sleep(0.2)
    assert leaving.codes == []


def test_a_run_that_has_published_ends_with_0(held: Undertaking) -> None:
    """What hangs then is only the cleaning up: the entry stays as it is."""
    leaving = Leaving()
    with held.record.stage("publish"):
        pass
    held.record.end(State.PUBLISHED)
    with LastResort(held, lambda: SIGTERM, leave=leaving, grace_seconds=0.01):
        assert leaving.left.wait(20)
    assert leaving.codes == [0]
    assert held.record.entry.state is State.PUBLISHED
