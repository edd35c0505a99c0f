"""Punctuality: what a monitor is told, from the ledger, the pointers and the time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kizami import json_form, layout
from kizami.catalogue import Catalogue, Publication
from kizami.catalogue import State as Becoming
from kizami.commit import Head
from kizami.config import CorpusConfig
from kizami.gates import USUAL, Figures
from kizami.gates import judge as judge_gates
from kizami.ledger import ErrorEntry, Ledger, RunEntry, State
from kizami.punctuality import Outcome, Punctuality, due_at, judge, look
from support.memory_store import Clock, MemoryStore
from support.publishing import CORPUS, HEAD, holder, pointer

TOKYO = ZoneInfo("Asia/Tokyo")
DATE, BEFORE = "2026-11-27", "2026-11-26"
RECIPES = CorpusConfig(CORPUS, "s3://dumps/recipes.jsonl", "id", ("title",))
SIX = dt.time(6)


def at(moment: str) -> dt.datetime:
    """A moment, in Tokyo unless it says otherwise, as the clock gives it."""
    parsed = dt.datetime.fromisoformat(moment)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=TOKYO)).astimezone(dt.UTC)


LATE = at(f"{DATE}T06:10")


def entry(state: State, run: str = "20261126T180000Z-a", **changes: Any) -> RunEntry:
    """A run of the date, begun at three in the morning."""
    ended = None if state is State.STARTED else "2026-11-26T18:30:00Z"
    made = RunEntry(run, "run", CORPUS, DATE, state, "analyse", "2026-11-26T18:00:00Z", ended_at=ended)
    return replace(made, **changes)


FAILED = entry(State.FAILED, exit_code=65, error=ErrorEntry("DataError", "recipes.jsonl is cut off\nat byte 7"))
GATE = entry(State.HELD, exit_code=65, snapshot="s", error=ErrorEntry("GateClosedError", "rows_lost 59 %"))
_CUT_OFF = Figures(8, 8, 8, 8, 0, 0, 0, 0)
CLOSED = tuple(gate for gate in judge_gates(_CUT_OFF, USUAL, earlier_rows=200, earlier_unknown=0.0) if not gate.open)
REFUSED = entry(State.REFUSED, stage="lock", exit_code=75, error=ErrorEntry("LockHeldError", "forget f holds the lock"))
ROLLBACK = entry(State.DONE, "20261126T220000Z-r", verb="rollback", date=BEFORE)
PUBLISHED = entry(State.PUBLISHED, snapshot="s")


@dataclass
class Shop:
    """A store in memory, filled as a case says, and its clock."""

    store: MemoryStore
    clock: Clock

    def has(self, *entries: RunEntry, dates: tuple[str, ...] = (BEFORE,), latest: str | None = BEFORE) -> Shop:
        """Entries of the ledger, and pointers: those of dates, and which of them ``latest`` names."""
        for each in entries:
            Ledger(self.store, CORPUS).write(each)
        for date in dates:
            self.store.put(layout.date_key(CORPUS, date), json_form.encode(pointer(f"of-{date}", date=date)))
        if latest:
            self.store.put(layout.latest_key(CORPUS), json_form.encode(pointer(f"of-{latest}", date=latest)))
        return self

    def held(self, run: str, *, verb: str = "run", date: str = DATE, age: float = 5.0) -> Shop:
        """The lock, held by a run that has last beaten so many seconds ago."""
        self.store.put(HEAD, Head(1, replace(holder(run, date=date), verb=verb)).encode())
        self.clock.now += age
        return self

    def withdrew(self, date: str = DATE) -> Shop:
        """The catalogue knows a snapshot of the date that was taken back."""
        publications = (Publication(pointer("of-" + date, date=date), Becoming.WITHDRAWN),)
        self.store.put(HEAD, Head(1, catalogue=Catalogue(publications)).encode())
        return self

    def answer(self, now: dt.datetime = LATE, by: dt.time | None = SIX, date: str = DATE) -> Punctuality:
        """What a check says."""
        return judge(look(self.store, CORPUS, date, sleep=self._sleep), RECIPES, by, TOKYO, now)

    def _sleep(self, seconds: float) -> None:
        self.clock.now += seconds


@pytest.fixture
def shop() -> Shop:
    """An empty store."""
    clock = Clock()
    return Shop(MemoryStore(clock), clock)


def lines() -> Iterator[tuple[str, Any, str]]:
    """Name, what is in the store, the line that a check prints at ten past six."""
    latest = f"latest is of-{BEFORE} of {BEFORE}"
    began = "run 20261126T180000Z-a"
    yield (
        "published",
        lambda shop: shop.has(PUBLISHED, dates=(BEFORE, DATE), latest=DATE),
        f"published: of-{DATE}, 3 rows, at 2026-11-23T05:30:00+09:00",
    )
    yield (
        "published, and a later run of the date failed",
        lambda shop: shop.has(PUBLISHED, replace(FAILED, run="20261126T190000Z-b"), dates=(DATE,), latest=DATE),
        f"published: of-{DATE}, 3 rows, at 2026-11-23T05:30:00+09:00",
    )
    yield (
        "nothing at all",
        lambda shop: shop.has(dates=(), latest=None),
        "not started: no run for that date in the ledger; nothing is published; type: kizami run recipes",
    )
    yield (
        "only the day before",
        lambda shop: shop.has(entry(State.PUBLISHED, date=BEFORE, snapshot="s")),
        f"not started: no run for that date in the ledger; {latest}; type: kizami run recipes",
    )
    yield (
        "another verb has the lock",
        lambda shop: shop.has().held("f", verb="forget"),
        "not started: no run for that date in the ledger; forget f holds the lock; type: kizami run recipes",
    )
    yield (
        "refused",
        lambda shop: shop.has(REFUSED),
        (
            f"not started: {began} was refused (forget f holds the lock), and none began after it; "
            "type: kizami run recipes"
        ),
    )
    yield (
        "runs",
        lambda shop: shop.has(entry(State.STARTED)).held("20261126T180000Z-a"),
        (
            f"running late: {began} runs on node-7 since 2026-11-23T05:00:00+09:00, now in stage analyse; "
            "type: kizami history recipes --limit 1"
        ),
    )
    yield (
        "runs, and has missed two beats",
        lambda shop: shop.has(entry(State.STARTED)).held("20261126T180000Z-a", age=60),
        (
            f"running late: {began} runs on node-7 since 2026-11-23T05:00:00+09:00, now in stage analyse; "
            "type: kizami history recipes --limit 1"
        ),
    )
    yield (
        "runs after one that failed",
        lambda shop: shop.has(FAILED, entry(State.STARTED, "20261126T200000Z-b")).held("20261126T200000Z-b"),
        (
            "running late: run 20261126T200000Z-b runs on node-7 since 2026-11-23T05:00:00+09:00, "
            "now in stage analyse; type: kizami history recipes --limit 1"
        ),
    )
    yield (
        "waits for the lock of a dead one",
        lambda shop: shop.has(
            entry(State.STARTED, stage="lock", started_at=f"{BEFORE}T21:08:00Z", run="20261126T210800Z-b")
        ).held("20261126T180000Z-a", age=60),
        # The holder lives as far as anybody knows.
        (
            "running late: run 20261126T180000Z-a runs on node-7 since 2026-11-23T05:00:00+09:00; "
            "type: kizami history recipes --limit 1"
        ),
    )
    yield (
        "waits for the lock of another date's run",
        lambda shop: shop.has(
            entry(State.STARTED, stage="lock", started_at=f"{BEFORE}T21:08:00Z", run="20261126T210800Z-b")
        ).held("20261126T180000Z-a", date=BEFORE, age=60),
        (
            f"running late: run 20261126T210800Z-b waits for the lock since {BEFORE}T21:08:00Z; "
            "type: kizami history recipes --limit 1"
        ),
    )
    yield (
        "failed",
        lambda shop: shop.has(FAILED),
        (
            f"failed: {began} ended with 65 at analyse: DataError: recipes.jsonl is cut off at byte 7; "
            "type: kizami run recipes"
        ),
    )
    yield (
        "failed, and a retry was refused",
        lambda shop: shop.has(FAILED, replace(REFUSED, run="20261126T190000Z-b")),
        (
            f"failed: {began} ended with 65 at analyse: DataError: recipes.jsonl is cut off at byte 7; "
            "type: kizami run recipes"
        ),
    )
    yield (
        "a bug",
        lambda shop: shop.has(replace(FAILED, exit_code=70, error=ErrorEntry("KeyError", "an unexpected error"))),
        f"failed: {began} ended with 70 at analyse: KeyError: an unexpected error; type: kizami run recipes --debug",
    )
    yield (
        "interrupted",
        lambda shop: shop.has(entry(State.INTERRUPTED, exit_code=143, error=ErrorEntry("InterruptedRunError", "15"))),
        f"failed: {began} ended with 143 at analyse: InterruptedRunError: 15; type: kizami run recipes",
    )
    yield (
        "held",
        lambda shop: shop.has(GATE),
        (
            f"failed, held by a gate: {began} ended with 65 at analyse: GateClosedError: rows_lost 59 %; "
            "type: kizami diff recipes latest s"
        ),
    )
    yield (
        "held, its gates in the ledger",
        lambda shop: shop.has(replace(GATE, gates=CLOSED)),
        f"failed, held by a gate: {began} made s: {CLOSED[0]}; type: kizami diff recipes latest s",
    )
    yield (
        "a candidate",
        lambda shop: shop.has(entry(State.CANDIDATE, snapshot="s", exit_code=0)),
        f"not published, a candidate: {began} stopped before the commit, as asked; type: kizami publish recipes s",
    )
    yield (
        "died, and its end was noticed",
        lambda shop: shop.has(entry(State.DIED)),
        (
            f"failed, died: {began} ended at analyse without a word: its process was killed or its host is gone; "
            "type: kizami run recipes"
        ),
    )
    yield (
        "died, and its lock has expired",
        lambda shop: shop.has(entry(State.STARTED)).held("20261126T180000Z-a", age=90),
        (
            f"failed, died: {began} ended at analyse without a word: its process was killed or its host is gone; "
            "type: kizami run recipes"
        ),
    )
    yield (
        "died while it waited for the lock",
        lambda shop: shop.has(entry(State.STARTED, stage="lock")),
        (
            f"failed, died: {began} ended at lock without a word: its process was killed or its host is gone; "
            "type: kizami run recipes"
        ),
    )
    yield (
        "rolled back",
        lambda shop: shop.has(PUBLISHED, ROLLBACK).withdrew(),
        f"published old: rollback 20261126T220000Z-r withdrew the date's snapshot; {latest}; type: kizami run recipes",
    )
    yield (
        "rolled back, and the run after it failed",
        lambda shop: shop.has(PUBLISHED, ROLLBACK, replace(FAILED, run="20261126T230000Z-b")).withdrew(),
        (
            "failed: run 20261126T230000Z-b ended with 65 at analyse: DataError: recipes.jsonl is cut off at byte 7; "
            "type: kizami run recipes"
        ),
    )
    yield (
        "rolled back, and the ledger is gone",
        lambda shop: shop.has().withdrew(),
        f"published old: the date's snapshot was withdrawn; {latest}; type: kizami run recipes",
    )
    yield (
        "died after its commit, before the pointers",
        lambda shop: shop.has(entry(State.DIED, snapshot="s")),
        f"published old: s of {began} is not shown any more; {latest}; type: kizami run recipes",
    )
    yield (
        "died between the two pointers",
        lambda shop: shop.has(entry(State.STARTED), dates=(BEFORE, DATE)),
        f"published old: of-{DATE} is committed, but {latest}; type: kizami run recipes",
    )


@pytest.mark.parametrize(("fill", "line"), [pytest.param(*rest, id=name) for name, *rest in lines()])
def test_a_check_says_what_became_of_the_date(shop: Shop, fill: Any, line: str) -> None:
    """One line that names the run, the cause and what to type; only a published date is well."""
    answer = fill(shop).answer()
    assert str(answer) == f"{CORPUS} {DATE}: {line}"
    assert answer.outcome.is_well == line.startswith("published:")
    assert (answer.command is None) == answer.outcome.is_well


@pytest.mark.parametrize(("fill", "line"), [pytest.param(*rest, id=name) for name, *rest in lines()])
def test_before_the_time_nothing_is_late(shop: Shop, fill: Any, line: str) -> None:
    """Whatever the store shows, a date that has not to be there yet is no fault."""
    answer = fill(shop).answer(now=at(f"{DATE}T05:59:59"))
    assert answer.outcome is (Outcome.PUBLISHED if line.startswith("published:") else Outcome.NOT_YET)


def test_every_bad_outcome_is_in_the_table() -> None:
    """The table above leaves none out."""
    seen = {line.partition(":")[0] for _, _, line in lines()}
    assert seen == {str(outcome) for outcome in Outcome if outcome is not Outcome.NOT_YET}


@pytest.mark.parametrize(
    ("date", "by", "zone", "due"),
    [
        ("2026-11-27", dt.time(6), "Asia/Tokyo", "2026-11-26T21:00:00+00:00"),
        ("2026-11-27", dt.time(0), "Asia/Tokyo", "2026-11-26T15:00:00+00:00"),
        ("2026-11-27", None, "Asia/Tokyo", "2026-11-26T15:00:00+00:00"),
        ("2026-11-27", dt.time(23, 59), "Asia/Tokyo", "2026-11-27T14:59:00+00:00"),
        ("2026-03-29", dt.time(1, 59), "Europe/Berlin", "2026-03-29T00:59:00+00:00"),
        ("2026-03-29", dt.time(2, 30), "Europe/Berlin", "2026-03-29T01:30:00+00:00"),  # skipped: 03:30 by the new time
        ("2026-03-29", dt.time(3, 0), "Europe/Berlin", "2026-03-29T01:00:00+00:00"),
        ("2026-10-25", dt.time(2, 30), "Europe/Berlin", "2026-10-25T00:30:00+00:00"),  # comes twice: the first
        ("2026-10-25", dt.time(6), "Europe/Berlin", "2026-10-25T05:00:00+00:00"),
        ("2026-11-27", dt.time(5, 45), "Asia/Kathmandu", "2026-11-27T00:00:00+00:00"),
    ],
)
def test_the_time_is_that_of_the_zone(date: str, by: dt.time | None, zone: str, due: str) -> None:
    """Also where the clocks are put forward or back on that day, and where the offset is no whole hour."""
    assert due_at(date, by, ZoneInfo(zone)).isoformat() == due


@pytest.mark.parametrize(
    ("now", "by", "well"),
    [
        (f"{DATE}T05:59:59", SIX, True),
        (f"{DATE}T06:00", SIX, False),
        (f"{DATE}T23:59:59", SIX, False),
        (f"{DATE}T00:00", None, False),
        (f"{BEFORE}T23:59:59", None, True),
        (f"{BEFORE}T21:00+00:00", SIX, False),
        (f"{BEFORE}T20:59+00:00", SIX, True),
    ],
)
def test_it_is_late_from_the_minute_on(shop: Shop, now: str, by: dt.time | None, well: bool) -> None:
    """To the second, in the zone of the configuration and not of the host; without a time from midnight on."""
    assert shop.has().answer(now=at(now), by=by).outcome.is_well is well


def test_the_command_for_another_day_names_it(shop: Shop) -> None:
    """A source that is only ever "now" needs --as-of-now; one with {date} in it does not."""
    found = look(shop.has().store, CORPUS, BEFORE)
    found = replace(found, shown=None)
    assert judge(found, RECIPES, SIX, TOKYO, LATE).command == f"kizami run recipes --date {BEFORE} --as-of-now"
    dated = replace(RECIPES, source="s3://dumps/{date}/")
    assert judge(found, dated, SIX, TOKYO, LATE).command == f"kizami run recipes --date {BEFORE}"


def test_a_run_that_closes_its_entry_just_now_has_not_died(shop: Shop) -> None:
    """A run gives the lock back before its last word: a check in between waits for it."""
    shop.has(entry(State.STARTED))

    def meanwhile(seconds: float) -> None:
        assert seconds > 0
        shop.store.put(layout.run_key(CORPUS, FAILED.run), json_form.encode(FAILED))

    found = look(shop.store, CORPUS, DATE, sleep=meanwhile)
    assert judge(found, RECIPES, SIX, TOKYO, LATE).outcome is Outcome.FAILED


def test_a_check_that_finds_all_well_does_not_wait(shop: Shop) -> None:
    """It sleeps only where an entry was left open."""
    shop.has(FAILED, PUBLISHED, dates=(DATE,), latest=DATE)
    look(shop.store, CORPUS, DATE, sleep=lambda _: pytest.fail("it waited"))


def test_old_entries_are_not_read(shop: Shop) -> None:
    """The ledger may be long: what began days before the date is not about it."""
    for day in range(1, 25):
        shop.has(entry(State.FAILED, f"202611{day:02}T180000Z-a", started_at=f"2026-11-{day:02}T18:00:00Z", date=DATE))
    assert look(shop.store, CORPUS, DATE).entries == ()


def test_a_damaged_entry_does_not_blind_the_monitor(shop: Shop) -> None:
    """It is told, and what the others say of the date stands."""
    shop.has(FAILED).store.put(layout.run_key(CORPUS, "99999999T000000Z-x"), b"")
    told: list[str] = []
    found = look(shop.store, CORPUS, DATE, say=told.append)
    assert found.entries == (FAILED,)
    assert len(told) == 1
