"""Notices: what the ledger and a check give reason for, and the outbox that sends each at least once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kizami.errors import DataError
from kizami.ledger import RunEntry, State
from kizami.notices import Kind, Notice, Outbox, of_check, of_ledger
from kizami.punctuality import Outcome, Punctuality
from kizami.webhook import EventRefusedError, WebhookError
from support.memory_store import Clock, MemoryStore

DATE, BEFORE = "2026-11-27", "2026-11-26"
DAY_SECONDS = 86400


def story(words: str) -> list[RunEntry]:
    """A ledger, the newest first, told from the oldest on: what became of each run, ``/`` when the next date begins;
    run number n ended at n o'clock."""
    entries, date = [], BEFORE
    for number, word in enumerate(words.split()):
        if word == "/":
            date = DATE
            continue
        verb, _, state = word.rpartition(":")
        snapshot = "s" if state in {"published", "died-after"} else None
        ended = None if state == "started" else f"2026-11-27T{number:02}:00:00Z"
        entries.append(
            RunEntry(
                f"r{number:02}",
                verb or "run",
                "recipes",
                date,
                State(state.removesuffix("-after")),
                "x",
                f"2026-11-27T{number:02}:00:00Z",
                ended_at=ended,
                snapshot=snapshot,
            )
        )
    return entries[::-1]


@pytest.mark.parametrize(
    ("words", "late", "notices"),
    [
        ("", "", []),
        ("published", "", []),
        ("published unchanged", "", []),
        ("published / published", "", []),
        ("failed", "", ["r00.failed"]),
        ("published / failed", "", ["r02.failed"]),
        ("published / failed died", "", ["r02.failed", "r03.failed"]),
        ("published / held refused refused", "", ["r02.failed"]),
        ("published / interrupted published", "", ["r02.failed", "r03.recovered"]),
        ("failed failed published", "", ["r00.failed", "r01.failed", "r02.recovered"]),
        ("failed published published", "", []),
        ("failed published failed", "", ["r02.failed"]),
        ("published / held publish:published", "", ["r02.failed", "r03.recovered"]),
        ("published / died-after", "", []),
        ("failed died-after", "", ["r00.failed", "r01.recovered"]),
        ("published / failed started", "", ["r02.failed"]),
        ("published / candidate", "", []),
        ("published / forget:failed gc:died publish:failed rollback:failed", "", []),
        ("published / published", DATE, ["r02.recovered"]),
        ("published / published", BEFORE, []),
        ("published / published unchanged", DATE, []),
        ("published / reprocess:published", DATE, ["r02.recovered"]),
        ("published / published rollback:done published", DATE, ["r04.recovered"]),
        ("published / published gc:done unchanged", DATE, []),
        ("published / published rollback:done", DATE, []),
        ("published / published rollback:done failed", DATE, ["r04.failed"]),
    ],
)
def test_runs_give_reason_for_notices(words: str, late: str, notices: Sequence[str]) -> None:
    """Each failure since the last publication, and the first publication after a failure or a lateness."""
    found = of_ledger(story(words), "2026-11-25", lambda date: date == late)
    assert [notice.id for notice in found] == list(notices)


def test_old_failures_are_no_news() -> None:
    """Where a webhook is set up for the first time it is not told of last month; the recovery is news."""
    found = of_ledger(story("failed failed published"), "2026-11-27T01:00:00Z", lambda _: False)
    assert [notice.id for notice in found] == ["r01.failed", "r02.recovered"]


def answer(outcome: Outcome, run: str | None = None, cause: str = "why") -> Punctuality:
    """What a check says."""
    return Punctuality("recipes", DATE, outcome, cause, "kizami run recipes", run)


@pytest.mark.parametrize(
    ("given", "notice"),
    [
        (answer(Outcome.PUBLISHED), None),
        (answer(Outcome.NOT_YET), None),
        (answer(Outcome.NOT_STARTED), f"{DATE}.not-started"),
        (answer(Outcome.RUNNING_LATE, "r1"), f"{DATE}.running-late"),
        (answer(Outcome.FAILED, "r1"), "r1.failed"),
        (answer(Outcome.HELD, "r1"), "r1.failed"),
        (answer(Outcome.DIED, "r1"), "r1.failed"),
        (answer(Outcome.CANDIDATE, "r1"), f"{DATE}.not-published-a-candidate.r1"),
        (answer(Outcome.OLD, "r1"), f"{DATE}.published-old.r1"),
        (answer(Outcome.OLD), f"{DATE}.published-old"),
    ],
)
def test_a_check_gives_reason_for_a_notice(given: Punctuality, notice: str | None) -> None:
    """The same one however often it is asked; of a run that failed the one that the run itself gives."""
    found = of_check(given)
    assert (found.id if found else None) == notice
    later = of_check(replace(given, cause="another"))
    assert (later.id if later else None) == notice


@pytest.fixture
def clock() -> Clock:
    """The store's clock."""
    return Clock()


@pytest.fixture
def outbox(clock: Clock) -> Outbox:
    """An outbox in an empty store."""
    return Outbox(MemoryStore(clock), "recipes")


def notice(name: str) -> Notice:
    """A notice of that id."""
    return Notice(Kind.FAILED, name, "recipes", DATE, "r1")


def test_a_notice_is_sent_once(outbox: Outbox) -> None:
    """Though it is found again and again."""
    sent: list[Notice] = []
    for _ in range(3):
        outbox.add(notice("a"))
        outbox.deliver(sent.append)
    assert sent == [notice("a")]


def test_what_cannot_be_sent_is_kept(outbox: Outbox, clock: Clock) -> None:
    """In the order in which it came; the first that fails ends it, so that nobody waits for many time-outs."""
    tried: list[str] = []
    works = False

    def send(given: Notice) -> None:
        tried.append(given.id)
        if not works:
            raise WebhookError("HTTP 500")

    for name in "cab":
        outbox.add(notice(name))
        clock.now += 60
    with pytest.raises(WebhookError):
        outbox.deliver(send)
    assert tried == ["c"]
    works = True
    outbox.deliver(send)
    assert tried == ["c", "c", "a", "b"]
    outbox.deliver(send)
    assert len(tried) == 4


def test_a_refused_notice_holds_up_no_other(outbox: Outbox, clock: Clock) -> None:
    """It stays, and is told of when the others are sent."""
    sent: list[str] = []

    def send(given: Notice) -> None:
        if given.id == "a":
            raise EventRefusedError("HTTP 400")
        sent.append(given.id)

    for name in "ab":
        outbox.add(notice(name))
        clock.now += 60
    for _ in range(2):
        with pytest.raises(EventRefusedError):
            outbox.deliver(send)
    assert sent == ["b"]


def test_a_damaged_notice_holds_up_no_other(outbox: Outbox) -> None:
    """It is named when the others are sent."""
    sent: list[Notice] = []
    outbox._store.put("v1/recipes/notices/pending/0.json", b"{")
    outbox.add(notice("a"))
    with pytest.raises(DataError, match=r"pending/0\.json is no JSON"):
        outbox.deliver(sent.append)
    assert sent == [notice("a")]


def test_notices_are_forgotten_after_a_month(outbox: Outbox, clock: Clock) -> None:
    """Sent or not; the store does not fill up with them."""
    sent: list[Notice] = []
    outbox.add(notice("a"))
    outbox.deliver(sent.append)
    outbox.add(notice("never"))
    clock.now += 31 * DAY_SECONDS
    outbox.add(notice("b"))
    outbox.deliver(sent.append)
    assert [each.id for each in sent] == ["a", "b"]
    store = outbox._store
    assert isinstance(store, MemoryStore)
    assert list(store.objects) == ["v1/recipes/notices/sent/b.json"]


def test_a_lateness_is_remembered_by_its_date(outbox: Outbox) -> None:
    """Sent or still to be sent."""
    outbox.add(notice(f"{DATE}.not-started"))
    assert outbox.was_late(DATE)
    outbox.deliver(lambda _: None)
    assert outbox.was_late(DATE)
    assert not outbox.was_late(BEFORE)
