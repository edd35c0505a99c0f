"""Candidates on stores: which may be published, what readers are shown then, and after a crash at any request."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from kizami import layout
from kizami.errors import DataError, GateClosedError
from kizami.gates import USUAL, Figures, judge
from kizami.lease import Lease
from kizami.ledger import Ledger, RunEntry
from kizami.stores import ObjectStore
from support.crashing_store import killed, requests_of
from support.memory_store import Clock, MemoryStore
from support.publishing import CORPUS, head, holder, nobody_died
from support.shelf import go_back, publish, publish_candidate, put_candidate, shown, undertake

D21, D22, D23 = "2026-11-21", "2026-11-22", "2026-11-23"
BEFORE = {"latest": "b", D21: "a", D22: "b"}
LOST = tuple(judge(Figures(2, 2, 2, 2, 0, 0, 0, 0), USUAL, earlier_rows=100, earlier_unknown=0.0))
BROKEN = tuple(judge(Figures(2, 2, 2, 2, 0, 0, 0, 1), USUAL, earlier_rows=100, earlier_unknown=0.0))
AGAIN = "make another with `kizami run recipes --date {} --candidate`"


@pytest.fixture
def store(store: ObjectStore) -> ObjectStore:
    """A store of each kind, with a snapshot of each of two dates."""
    return filled(store)


def filled(store: ObjectStore) -> ObjectStore:
    """The store, with the snapshots published."""
    publish(store, "a", D21)
    publish(store, "b", D22)
    return store


def newest(store: ObjectStore) -> RunEntry:
    """The newest entry of the ledger, by its name."""
    return Ledger(store, CORPUS).history()[0]


def refusal(store: ObjectStore, snapshot: str, *, force: bool = False) -> str:
    """Why it is not published; fails if it is, or if anything changed."""
    before, commits = shown(store), head(store).commits
    with pytest.raises(DataError) as caught:
        publish_candidate(store, snapshot, force=force, run=f"z-{len(list(store.list('')))}")
    assert (shown(store), head(store).commits, head(store).holder) == (before, commits, None)
    assert caught.value.exit_code == 65
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nobody_sees_a_candidate_until_it_is_published(store: ObjectStore) -> None:
    """It lies there complete; then its date shows it, ``latest`` names it, and what was before stays."""
    put_candidate(store, "c", D23)
    assert shown(store) == BEFORE
    done = publish_candidate(store, "c")
    assert shown(store) == {"latest": "c", D21: "a", D22: "b", D23: "c"}
    assert (done.pointer.snapshot, done.pointer.commit, done.is_latest, done.forced) == ("c", 3, True, ())
    assert not done.did_nothing
    assert head(store).unfinished is None
    assert head(store).holder is None


def test_a_candidate_of_a_date_that_shows_something_is_its_next_revision(store: ObjectStore) -> None:
    """Nothing was published since it was begun."""
    put_candidate(store, "b2", D22)
    publish_candidate(store, "b2")
    assert shown(store) == {"latest": "b2", D21: "a", D22: "b2"}


def test_a_candidate_of_an_earlier_date_leaves_latest(store: ObjectStore) -> None:
    """Another date than its own was published since; it is published under its own, and that is told."""
    put_candidate(store, "a2", D21)
    publish(store, "c", D23)
    done = publish_candidate(store, "a2")
    assert shown(store) == {"latest": "c", D21: "a2", D22: "b", D23: "c"}
    assert not done.is_latest
    assert done.latest
    assert (done.latest.snapshot, done.manifest.predecessor) == ("c", "b")


def test_the_first_snapshot_of_a_store_may_be_a_candidate() -> None:
    """Without a predecessor."""
    store = MemoryStore()
    put_candidate(store, "a", D21)
    assert publish_candidate(store, "a").is_latest
    assert shown(store) == {"latest": "a", D21: "a"}


def test_a_closed_gate_keeps_it_back_unless_forced(store: ObjectStore) -> None:
    """The message has the figure, the limit and the very command; forced, it is published, and says past what."""
    put_candidate(store, "c", D23, gates=LOST)
    told = "c of recipes, 2026-11-23, is not published: rows_lost 98 % (limit 20 %, closed): it is in the store; look "
    told += "at it with `kizami diff recipes latest c`, and if it is right, publish it with `kizami publish recipes c "
    assert refusal(store, "c") == told + "--force`"
    entry = newest(store)
    assert (entry.state, entry.exit_code, entry.gates, entry.date) == ("held", 65, LOST, D23)
    done = publish_candidate(store, "c", force=True, run="zz-forced")
    assert [gate.name for gate in done.forced] == ["rows_lost"]
    assert shown(store) == {"latest": "c", D21: "a", D22: "b", D23: "c"}


def test_the_first_snapshot_is_not_to_be_compared_with_any() -> None:
    """Held back where nothing is published yet, it is told without a command that could only fail."""
    store = MemoryStore()
    put_candidate(store, "a", D21, gates=LOST)
    assert refusal(store, "a").endswith(
        "it is in the store; if it is right, publish it with `kizami publish recipes a --force`"
    )


def test_what_cannot_be_forced_is_not(store: ObjectStore) -> None:
    """A snapshot whose surfaces do not come back is never published."""
    put_candidate(store, "c", D23, gates=BROKEN)
    told = "c of recipes, 2026-11-23, is not published: surfaces 1 (limit 0, closed): this cannot be forced; "
    assert refusal(store, "c", force=True).startswith(told)
    assert "rows_lost" not in refusal(store, "c")


def test_a_closed_gate_is_told_to_programs() -> None:
    """The error has the snapshot and every gate."""
    store = filled(MemoryStore())
    put_candidate(store, "c", D23, gates=LOST)
    with pytest.raises(GateClosedError) as caught:
        publish_candidate(store, "c")
    assert caught.value.details["snapshot"] == "c"
    told = [(gate["name"], gate["open"]) for gate in caught.value.details["gates"]]
    assert told == [(gate.name, gate.open) for gate in LOST]
    assert ("rows_lost", False) in told


def test_an_unknown_snapshot_names_the_candidates(store: ObjectStore) -> None:
    """The newest first, with dates and closed gates; what is published is none of them."""
    assert refusal(store, "x") == "no snapshot 'x' of recipes is in the store; there is no candidate"
    put_candidate(store, "c1", D22)
    put_candidate(store, "c2", D23, gates=LOST)
    there = "candidates: c2 (2026-11-23, rows_lost closed), c1 (2026-11-22)"
    assert refusal(store, "x") == f"no snapshot 'x' of recipes is in the store; {there}"
    assert refusal(store, "../b") == f"no snapshot '../b' of recipes is in the store; {there}"


def test_a_damaged_manifest_hides_no_other_candidate() -> None:
    """It is named as what it is, and not published."""
    store = filled(MemoryStore())
    put_candidate(store, "c1", D23)
    put_candidate(store, "c2", D23)
    store.put(layout.manifest_key(CORPUS, "c2"), b"{")
    assert refusal(store, "x").endswith("candidates: c2 (damaged), c1 (2026-11-23)")
    assert "manifests/c2.json is no JSON" in refusal(store, "c2")


def test_only_the_newest_candidates_are_named() -> None:
    """A store may have many."""
    store = filled(MemoryStore())
    for number in range(7):
        put_candidate(store, f"c{number}", D23)
    told = ", ".join(f"c{number} (2026-11-23)" for number in (6, 5, 4, 3, 2))
    assert refusal(store, "x").endswith(f"candidates: {told} and 2 older")


def test_what_is_published_already_is_left_alone(store: ObjectStore) -> None:
    """Publishing it again is no error and no commit."""
    put_candidate(store, "c", D23)
    publish_candidate(store, "c")
    for snapshot in ("a", "c"):
        assert publish_candidate(store, snapshot, run=f"again-{snapshot}").did_nothing
    assert head(store).commits == 3
    assert shown(store) == {"latest": "c", D21: "a", D22: "b", D23: "c"}


def test_what_was_superseded_withdrawn_or_retired_is_for_rollback(store: ObjectStore) -> None:
    """It says what became of it, and which command goes back to it."""
    publish(store, "b2", D22)
    publish(store, "c", D23)
    assert refusal(store, "b") == (
        "b of recipes, 2026-11-22, was published, and b2 after it: `kizami rollback recipes b` goes back to it and "
        "withdraws what is newer"
    )
    go_back(store, "b2")
    assert refusal(store, "c").startswith("c of recipes, 2026-11-23, was withdrawn by a rollback: `kizami rollback")
    with undertake(store, "gc", "gc-1") as held:
        held.lease.record(lambda catalogue: catalogue.with_retired([D21]))
        held.lease.survey()
    store.delete([layout.date_key(CORPUS, D21)])
    assert refusal(store, "a").startswith("a of recipes, 2026-11-21, was retired with its date: `kizami rollback")


def test_a_candidate_is_not_published_over_a_newer_revision(store: ObjectStore) -> None:
    """Neither by force: readers of that date would go back."""
    put_candidate(store, "b2", D22)
    publish(store, "b3", D22)
    told = "b2 is older than what its date shows: b3 of 2026-11-22 was published after it was begun; "
    assert refusal(store, "b2") == told + AGAIN.format(D22)
    assert refusal(store, "b2", force=True) == told + AGAIN.format(D22)


def test_after_a_rollback_its_date_is_free_again(store: ObjectStore) -> None:
    """The newer revision was withdrawn: a candidate that was made from what was gone back to is published."""
    put_candidate(store, "c", D23)
    publish(store, "c2", D23)
    go_back(store, "b")
    publish_candidate(store, "c")
    assert shown(store) == {"latest": "c", D21: "a", D22: "b", D23: "c"}


def test_a_candidate_made_from_a_withdrawn_snapshot_is_refused(store: ObjectStore) -> None:
    """It may have taken over what the rollback took back."""
    put_candidate(store, "c", D23)
    go_back(store, "a")
    told = "c was made from b, which a rollback has withdrawn since; "
    assert refusal(store, "c", force=True) == told + AGAIN.format(D23)


def test_a_candidate_that_is_not_whole_is_refused(store: ObjectStore) -> None:
    """A part too few or too many."""
    put_candidate(store, "c", D23)
    extra = layout.part_key(CORPUS, "c", 7)
    store.put(extra, b"x")
    assert refusal(store, "c") == f"c is not whole, {extra} is not in the manifest: {AGAIN.format(D23)}"
    store.delete([extra, layout.part_key(CORPUS, "c", 1)])
    assert re.search(r"^c is not whole, .*part-00001.parquet is missing: make", refusal(store, "c", force=True))


def test_a_candidate_without_verdicts_is_refused(store: ObjectStore) -> None:
    """Nobody has looked whether its texts are all there."""
    put_candidate(store, "c", D23, gates=())
    assert refusal(store, "c", force=True) == (
        f"c was made by a version of kizami that had no gates: {AGAIN.format(D23)}"
    )


def test_a_candidate_that_is_being_deleted_is_refused(store: ObjectStore) -> None:
    """Retention has begun: nobody may point to it again."""
    put_candidate(store, "c", D23)
    with Lease.take(store, CORPUS, holder("gc"), on_takeover=nobody_died) as lease:
        lease.record(lambda catalogue: catalogue.with_doomed(["c"]))
    assert refusal(store, "c") == "snapshot 'c' of recipes is being deleted; there is no candidate"


def with_candidate(store: ObjectStore) -> ObjectStore:
    """The store, with a candidate of the next date."""
    put_candidate(filled(store), "c", D23)
    return store


def crashes() -> Iterator[tuple[int, bool]]:
    """Every request of publishing, the lock included, before it and after it was carried out."""
    for number in range(requests_of(with_candidate(MemoryStore()), lambda store: publish_candidate(store, "c"))):
        yield number, False
        yield number, True


@pytest.mark.parametrize(("crash_at", "carried_out"), list(crashes()))
def test_a_crash_leaves_it_published_or_a_candidate(crash_at: int, carried_out: bool) -> None:
    """At every moment readers find whole snapshots; the next holder of the lock leaves all of it done, or none, and
    says in the ledger which; publishing again ends well."""
    clock = Clock()
    store = with_candidate(MemoryStore(clock))
    killed(store, lambda dying: publish_candidate(dying, "c", run="publish-9"), crash_at, carried_out=carried_out)
    assert shown(store)["latest"] in {"b", "c"}
    made = head(store).commits == 3
    after = {"latest": "c", D21: "a", D22: "b", D23: "c"}
    locked = head(store).holder is not None
    clock.now += 100
    with undertake(store, "run", "next-run"):
        assert shown(store) == (after if made else BEFORE)
    entries = {each.run: each for each in Ledger(store, CORPUS).history()}
    if locked and "publish-9" in entries:
        assert (entries["publish-9"].state, entries["publish-9"].snapshot) == ("died", "c" if made else None)
    done = publish_candidate(store, "c", run="publish-10")
    assert done.did_nothing == made
    assert shown(store) == after
    assert head(store).commits == 3
