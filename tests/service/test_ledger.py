"""The ledger: one entry a run, whatever became of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kizami import json_form, layout
from kizami.errors import DataError
from kizami.ledger import Ledger, RunCounts, RunEntry, State, error_entry
from support.memory_store import MemoryStore

ENTRY = RunEntry(
    run="20261123T050000Z-a",
    verb="run",
    corpus="recipes",
    date="2026-11-23",
    state=State.STARTED,
    stage="lock",
    started_at="2026-11-23T05:00:00Z",
)
PUBLISHED = replace(ENTRY, state=State.PUBLISHED, exit_code=0, counts=RunCounts(rows=7), stage_seconds={"read": 0.5})
DIED = replace(ENTRY, state=State.DIED, ended_at="2026-11-23T05:10:00Z")


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore()


def test_an_entry_is_kept_up_to_date(store: MemoryStore) -> None:
    """The last write is what the history tells."""
    ledger = Ledger(store, "recipes")
    ledger.write(ENTRY)
    ledger.write(replace(ENTRY, stage="read"))
    ledger.write(PUBLISHED)
    assert ledger.history() == [PUBLISHED]
    assert list(store.objects) == ["v1/recipes/runs/20261123T050000Z-a.json"]


def test_history_begins_with_the_newest(store: MemoryStore) -> None:
    """Ids sort by time; a limit takes the newest; other corpora have ledgers of their own."""
    ledger = Ledger(store, "recipes")
    entries = [replace(ENTRY, run=f"2026112{day}T050000Z-a") for day in range(5)]
    for entry in (entries[3], entries[0], entries[4], entries[1], entries[2]):
        ledger.write(entry)
    Ledger(store, "novels").write(replace(ENTRY, corpus="novels"))
    assert ledger.history() == entries[::-1]
    assert ledger.history(2) == entries[:2:-1]
    assert Ledger(store, "nothing").history() == []


def test_a_run_found_dead_is_closed(store: MemoryStore) -> None:
    """Whoever takes the lock over closes the entry, and names the snapshot of a run that died after its commit."""
    Ledger(store, "recipes").write(ENTRY)
    Ledger(store, "recipes").close_dead(ENTRY.run, "2026-11-23T05:10:00Z", "snapshot-1")
    assert Ledger(store, "recipes").history() == [replace(DIED, snapshot="snapshot-1")]


def test_a_run_that_closed_its_entry_stays_as_it_said(store: MemoryStore) -> None:
    """Only a run that did not end can be found dead; one without an entry is none of the ledger's business."""
    ledger = Ledger(store, "recipes")
    ledger.write(PUBLISHED)
    ledger.close_dead(ENTRY.run, "2026-11-23T05:10:00Z", None)
    ledger.close_dead("20261122T050000Z-unknown", "2026-11-23T05:10:00Z", None)
    assert ledger.history() == [PUBLISHED]


def test_a_run_does_not_rewrite_its_obituary(store: MemoryStore) -> None:
    """A run that was taken for dead leaves the entry to the one that closed it."""
    ledger = Ledger(store, "recipes")
    ledger.write(ENTRY)
    Ledger(store, "recipes").close_dead(ENTRY.run, DIED.ended_at or "", None)
    ledger.write(PUBLISHED)
    assert ledger.history() == [DIED]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_answer_does_not_lose_the_entry(store: MemoryStore, lost: int) -> None:
    """A write that arrived though its answer did not is recognised, and the next one goes over it."""
    ledger = Ledger(store, "recipes")
    for number, entry in enumerate((ENTRY, replace(ENTRY, stage="read"), PUBLISHED)):
        if number == lost:  # the same write, by a process that did not live to see the answer
            other = Ledger(store, "recipes")
            other._etags = dict(ledger._etags)
            other.write(entry)
        ledger.write(entry)
    assert ledger.history() == [PUBLISHED]


def test_a_damaged_entry_is_named(store: MemoryStore) -> None:
    """The key leads to the object."""
    store.put(layout.run_key("recipes", "x"), b"{")
    with pytest.raises(DataError, match=r"^v1/recipes/runs/x\.json is no JSON"):
        Ledger(store, "recipes").history()


def test_a_damaged_entry_hides_none_of_the_others(store: MemoryStore) -> None:
    """Where somebody can be told, it is: one that is no JSON, one of a later version, and a stray file."""
    ledger = Ledger(store, "recipes")
    ledger.write(PUBLISHED)
    later = json_form.encode(PUBLISHED).replace(b'"published"', b'"paused"')
    for name, body in (("x", b"{"), ("y", later), ("0", b"")):
        store.put(layout.run_key("recipes", name), body)
    told: list[str] = []
    assert ledger.history(1, told.append) == [PUBLISHED]
    assert [line.partition(".json ")[0] for line in told] == [
        "left out of the ledger: 'state' of v1/recipes/runs/y",
        "left out of the ledger: v1/recipes/runs/x",
    ]


def test_an_error_is_told_by_name_and_message() -> None:
    """Kizami's own messages hold no text of the corpus; those of others may, and are left out."""
    assert error_entry(DataError("no texts")).message == "no texts"
    entry = error_entry(KeyError("秘密の本文"))
    assert (entry.name, "秘密" in entry.message) == ("KeyError", False)
