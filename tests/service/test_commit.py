"""The transitions of head.json and the rules of the pointers, as tables."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kizami import commit as c
from kizami.errors import DataError
from kizami.pointer import Pointer
from support.publishing import POINTER_KEYS, holder, pointer

A = holder("run-a")
B = holder("run-b")


def head_after(*, settled: bool = True) -> c.Head:
    """A's head after its first commit."""
    made = c.committed(c.taken(None, A), pointer("s1"))
    return c.settled(made) if settled else made


def test_a_life_of_a_lock() -> None:
    """Taken, beaten, committed, settled, released, taken again: each turn one more, the commit stays."""
    head = c.taken(None, A)
    assert (head.turn, head.holder, head.commits) == (1, A, 0)
    head = c.beaten(head)
    assert (head.turn, head.holder) == (2, replace(A, beat=1))
    head = c.committed(head, pointer("s1"))
    assert (head.turn, head.commits, head.holder) == (3, 1, replace(A, beat=2))
    assert head.unfinished == c.Commit(1, "2026-11-23", "s1", "run-a", pointer("s1", commit=1))
    head = c.settled(head)
    assert (head.turn, head.unfinished) == (4, None)
    head = c.released(head)
    assert (head.turn, head.holder, head.commits) == (5, None, 1)
    head = c.taken(head, B)
    assert (head.turn, head.holder, head.commits) == (6, B, 1)


def test_an_unfinished_commit_survives_a_takeover_and_bars_the_next() -> None:
    """Who takes over finds the commit with its full pointer, and must finish it before committing."""
    head = c.taken(head_after(settled=False), B)
    assert head.unfinished is not None
    assert head.unfinished.pointer == pointer("s1", commit=1)
    with pytest.raises(ValueError, match="finished"):
        c.committed(head, pointer("s2"))


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (0.0, c.Standing.HELD),
        (29.9, c.Standing.HELD),
        (30.0, c.Standing.SILENT),
        (89.9, c.Standing.SILENT),
        (90.0, c.Standing.EXPIRED),
    ],
)
def test_a_lock_is_judged_by_age(age: float, expected: c.Standing) -> None:
    """Two beats missed: silent; past the expiry: dead."""
    assert c.standing(c.taken(None, A), age) is expected


def test_a_lock_is_judged_by_the_holders_own_numbers() -> None:
    """A holder that beats slowly is not dead by a newcomer's standards."""
    slow = holder("run-a", timing=c.LockTiming(60, 600))
    assert c.standing(c.taken(None, slow), 100) is c.Standing.HELD


def test_no_lock_is_free() -> None:
    """Before the first run and after a release nobody holds the lock, however old it is."""
    assert c.standing(None, 0) is c.Standing.FREE
    assert c.standing(c.released(head_after()), 10_000) is c.Standing.FREE


def test_the_fate_of_a_commit_whose_answer_was_lost() -> None:
    """What head.json reads afterwards tells: won, open, lost for good, or hidden by later commits."""
    before = c.taken(None, A)
    wanted = c.committed(before, pointer("s1"))
    taken_over = c.taken(before, B)
    rival = c.settled(c.committed(taken_over, pointer("rival")))
    later = c.committed(rival, pointer("later"))
    table = [
        (wanted, c.Fate.WON),
        (c.taken(wanted, B), c.Fate.WON),
        (before, c.Fate.OPEN),
        (c.beaten(before), c.Fate.OPEN),
        (taken_over, c.Fate.LOST),
        (c.released(taken_over), c.Fate.LOST),
        (rival, c.Fate.LOST),
        (later, c.Fate.UNKNOWN),
    ]
    for found, expected in table:
        assert c.fate(wanted, found) is expected, found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, c.Fate.UNKNOWN),
        (pointer("s2", commit=2), c.Fate.WON),
        (pointer("other", commit=2), c.Fate.LOST),
        (pointer("older", commit=1), c.Fate.LOST),
        (pointer("newer", commit=3), c.Fate.UNKNOWN),
    ],
)
def test_a_hidden_commit_is_known_by_its_dates_pointer(found: Pointer | None, expected: c.Fate) -> None:
    """Each commit was finished before the next, so the date's pointer tells unless it has moved on."""
    assert c.fate_by_pointer(c.Commit(2, "2026-11-23", "s2", "run-a", pointer("s2", commit=2)), found) is expected


def test_a_hidden_rollback_is_never_known_to_have_been_ours() -> None:
    """Somebody else may have gone back to the same snapshot by a commit of the same number."""
    wanted = c.Commit(2, "2026-11-23", "s2", "run-a", pointer("s2", commit=2), rollback=True)
    assert c.fate_by_pointer(wanted, pointer("s2", commit=2)) is c.Fate.UNKNOWN
    assert c.fate_by_pointer(wanted, pointer("other", commit=2)) is c.Fate.LOST


def test_a_rollback_is_a_commit_with_all_it_takes_to_finish_it() -> None:
    """The target's pointer by the new number, and for each other date that changes its new pointer or None."""
    head = c.taken(None, A)
    for number, (snapshot, day) in enumerate((("a", "21"), ("b", "22"), ("b2", "22"), ("c", "23")), 1):
        head = c.settled(c.committed(head, pointer(snapshot, date=f"2026-11-{day}")))
        assert head.commits == number
    made = c.rolled_back(head, "a").commit
    assert made is not None
    assert (made.n, made.rollback, made.pointer) == (5, True, pointer("a", date="2026-11-21", commit=5))
    assert made.moves == (c.Move("2026-11-22", None), c.Move("2026-11-23", None))
    made = c.rolled_back(head, "b").commit
    assert made is not None
    assert (made.date, made.moves) == ("2026-11-22", (c.Move("2026-11-23", None),))
    after = c.rolled_back(head, "b")
    assert c.decode_head(after.encode(), "k") == after
    with pytest.raises(ValueError, match="finished"):
        c.rolled_back(after, "a")
    with pytest.raises(ValueError, match="no publication"):
        c.rolled_back(head, "d")


@pytest.mark.parametrize(
    ("number", "date", "rollback", "date_moves", "latest_moves"),
    [
        (3, "2026-11-22", False, True, True),
        (3, "2026-11-23", False, True, True),
        (3, "2026-11-24", False, True, False),
        (3, "2026-11-24", True, True, True),
        (4, "2026-11-23", False, False, False),
        (4, "2026-11-23", True, False, False),
        (5, "2026-11-22", True, False, False),
    ],
)
def test_pointers_move_only_over_smaller_commits(
    number: int, date: str, rollback: bool, date_moves: bool, latest_moves: bool
) -> None:
    """``latest`` never moves to an earlier date but by rollback; no pointer moves over its own or a later commit."""
    made = c.Commit(4, "2026-11-23", "s4", "run-a", pointer("s4", commit=4), rollback=rollback)
    found = pointer("found", date=date, commit=number)
    assert c.date_follows(made, found) is date_moves
    assert c.latest_follows(made, found) is latest_moves
    assert c.date_follows(made, None)
    assert c.latest_follows(made, None)


def test_one_run_started_twice_is_two_holders() -> None:
    """The run's id alone does not make a holder: a scheduler may have started the same run again."""
    assert A.is_same(replace(A, beat=7))
    assert not A.is_same(replace(A, pid=1))
    assert not A.is_same(None)


@pytest.mark.parametrize(("beat", "expiry"), [(0, 90), (-1, 90), (30, 90), (15, 0)])
def test_a_senseless_timing_is_refused(beat: float, expiry: float) -> None:
    """An expiry leaves room for at least four beats."""
    with pytest.raises(ValueError, match="four beats"):
        c.LockTiming(beat, expiry)


def test_a_holder_stops_itself_well_before_others_take_over() -> None:
    """60 s of 90 s."""
    assert c.LockTiming().silence_seconds == 60


def test_head_json_reads_back() -> None:
    """What is written is read, with the fields the contract names; a newer version's additions are tolerated."""
    head = head_after()
    assert c.decode_head(head.encode(), "k") == head
    plain = json.loads(head.encode())
    assert list(plain["commit"]["pointer"]) == POINTER_KEYS
    plain["colour"] = plain["holder"]["colour"] = "red"
    assert c.decode_head(json.dumps(plain).encode(), "k") == head


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "v1/recipes/head.json is no JSON"),
        (b"\xff", "v1/recipes/head.json is no JSON"),
        (b"[]", "v1/recipes/head.json is list, not Head"),
        (b"{}", "'turn' of v1/recipes/head.json is missing"),
        (b'{"turn": "1"}', "'turn' of v1/recipes/head.json is str, not int"),
        (b'{"turn": true}', "'turn' of v1/recipes/head.json is bool, not int"),
        (b'{"turn": 1, "holder": {"run": null}}', "'holder.run' of v1/recipes/head.json is NoneType, not str"),
    ],
)
def test_a_corrupt_head_names_the_key(body: bytes, message: str) -> None:
    """A person reads which object is broken and where."""
    with pytest.raises(DataError) as caught:
        c.decode_head(body, "v1/recipes/head.json")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_head_with_senseless_timing_is_corrupt() -> None:
    """A value that no holder can have written is an error of the data, not of the program."""
    body = c.taken(None, A).encode().replace(b'"expiry_seconds": 90.0', b'"expiry_seconds": 1')
    with pytest.raises(DataError, match="'holder' of k makes no sense"):
        c.decode_head(body, "k")
