"""The protocol among rivals, crashes, pauses and lost answers, one store call at a time; of the snapshots some are
published in two versions of the schema."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kizami import layout, protocol
from kizami.commit import Commit, Head, Holder, LockTiming, decode_head
from kizami.conversation import Create, Get, ListKeys, Operation, Remove, Replace, Steps, Wait, execute, perform
from kizami.errors import CommitStateUnknownError, KizamiError, LockHeldError, LockLostError, UnavailableError
from kizami.pointer import Pointer, decode_pointer
from kizami.protocol import Hold, Place
from kizami.stores.base import ConditionFailedError, ObjectMissingError, OutcomeUnknownError
from kizami.survey import survey, tidy
from support.memory_store import MemoryStore
from support.publishing import CORPUS, holder, pointer

ACTORS = 3
TIMING = LockTiming(beat_seconds=15, expiry_seconds=90)
DATES = ("2026-11-21", "2026-11-22", "2026-11-23")
PLACE = Place(CORPUS)
PLANS = (
    ("publish", "release"),
    ("beat", "publish", "release"),
    ("publish", "beat", "beat", "release"),
    ("beat", "beat", "release"),
    ("roll back", "release"),
    ("beat", "roll back", "beat", "release"),
    ("take down", "release"),
    ("beat", "take down", "beat", "release"),
)
PUBLISHING, ROLLING_BACK, TAKING_DOWN = PLANS[0], PLANS[4], PLANS[6]
COMMITTING = {"publish", "roll back", "take down"}
INDICES = st.integers(0, ACTORS - 1)
CHOICES = st.integers(0, 5)


@dataclass
class Actor:
    """One process: what it is doing, and what it believes."""

    run: str
    holder: Holder
    pointer: Pointer
    choice: int
    """Which of the publications it finds it would roll back to, or put copies in the place of."""
    plan: list[str]
    """What to do with the lock once taken: beats, a commit, the release; a crash is not planned."""
    stage: str = "take"
    steps: Steps[Any] | None = None
    operation: Operation | None = None
    hold: Hold | None = None
    commit: Commit | None = None
    latest: Pointer | None = None
    """What ``latest`` named when it took the lock."""
    belief: str = "nothing"
    """``published``, ``not published``, ``unknown`` or ``nothing`` yet."""
    ended: bool = False


@dataclass
class World:
    """The store, its clock, and every version of every object that decides."""

    now: float = 0.0
    heads: list[Head] = field(default_factory=list)
    pointers: dict[str, list[list[Pointer]]] = field(default_factory=dict)
    """Of each key, for each of its lives: every version from its creation to its removal."""


class Machine(RuleBasedStateMachine):
    """Three processes at a time, a new one in the place of each that has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.store = MemoryStore(lambda: self.world.now)
        self.actors: list[Actor] = []
        self.past: list[Actor] = []
        self.late: list[Operation] = []
        self.runs = 0
        self.copies: dict[str, dict[str, Pointer]] = {}
        """By run, what its take-down puts in the place of which snapshot."""

    @initialize(dates=st.lists(st.sampled_from(DATES), min_size=ACTORS, max_size=ACTORS))
    def begin(self, dates: list[str]) -> None:
        for date in dates:
            self.actors.append(self.newcomer(date, PUBLISHING))

    def newcomer(self, date: str, plan: tuple[str, ...], choice: int = 0) -> Actor:
        self.runs += 1
        run = f"run-{self.runs}"
        wanted = pointer(f"snapshot-{self.runs}", date=date)
        actor = Actor(run, holder(run, timing=TIMING, date=date), wanted, choice, list(plan))
        self.advance(actor, protocol.take(PLACE, actor.holder))
        return actor

    # What an actor does next: the order in which Lease does it.

    def advance(self, actor: Actor, steps: Steps[Any]) -> None:
        actor.steps = steps
        self.resume(actor, lambda: steps.send(None))

    def resume(self, actor: Actor, step: Callable[[], Operation]) -> None:
        try:
            actor.operation = step()
        except StopIteration as end:
            actor.operation = None
            self.completed(actor, end.value)
        except (KizamiError, ConditionFailedError, ObjectMissingError) as error:
            actor.operation = None
            self.failed(actor, error)

    def completed(self, actor: Actor, result: Any) -> None:
        match actor.stage:
            case "take":
                actor.hold = result.hold
                self.after_taking(actor)
            case "finish old" | "finish own":
                actor.stage = actor.stage.replace("finish", "settle")
                self.advance(actor, protocol.settle(PLACE, self.held(actor)))
            case "settle old":
                actor.hold = result
                self.survey(actor)
            case "survey":
                assert not result.unknown
                actor.latest = result.latest
                actor.stage = "tidy"
                self.advance(actor, tidy(result.strays))
            case "tidy":
                self.go_on(actor)
            case "beat":
                actor.hold = result
                self.go_on(actor)
            case "publish" | "roll back" | "take down":
                actor.belief = "published"
                if not actor.holder.is_same(result.head.holder):
                    actor.ended = True
                    return
                actor.hold = result
                actor.stage = "finish own"
                self.advance(actor, protocol.finish(PLACE, result.head.commit))
            case "settle own":
                actor.hold = result
                self.go_on(actor)
            case "release":
                actor.ended = True

    def after_taking(self, actor: Actor) -> None:
        unfinished = self.held(actor).head.unfinished
        if unfinished:
            actor.stage = "finish old"
            self.advance(actor, protocol.finish(PLACE, unfinished))
        else:
            self.survey(actor)

    def survey(self, actor: Actor) -> None:
        actor.stage = "survey"
        self.advance(actor, survey(PLACE, self.held(actor).head))

    def go_on(self, actor: Actor) -> None:
        hold = self.held(actor)
        self.rested(hold)
        actor.stage = actor.plan.pop(0)
        match actor.stage:
            case "beat":
                self.advance(actor, protocol.beat(PLACE, hold))
            case "publish":
                others = _others(actor.pointer.snapshot)
                self.advance(actor, protocol.publish(PLACE, hold, actor.pointer, others))
            case "roll back":
                if not (found := hold.head.catalogue.publications):
                    self.go_on(actor)
                    return
                target = found[actor.choice % len(found)].snapshot
                self.advance(actor, protocol.roll_back(PLACE, hold, target))
            case "take down":
                found = hold.head.catalogue.publications
                if actor.latest is None or not found:
                    self.go_on(actor)
                    return
                copies = {
                    each.snapshot: replace(each.pointer, snapshot=f"{each.snapshot}-{actor.run}")
                    for index, each in enumerate(reversed(found))
                    if actor.choice >> index & 1 or index == actor.choice
                } or {found[-1].snapshot: replace(found[-1].pointer, snapshot=f"{found[-1].snapshot}-{actor.run}")}
                self.copies[actor.run] = copies
                self.advance(actor, protocol.take_down(PLACE, hold, actor.latest, copies))
            case "release":
                self.advance(actor, protocol.release(PLACE, hold))

    def failed(self, actor: Actor, error: Exception) -> None:
        assert isinstance(error, KizamiError), error
        if actor.stage in COMMITTING:
            actor.belief = "unknown" if isinstance(error, CommitStateUnknownError) else "not published"
        if actor.stage == "beat" and not isinstance(error, LockLostError):
            self.go_on(actor)  # tolerated: the next request finds out
            return
        if isinstance(error, LockHeldError):
            assert actor.stage == "take"
        actor.ended = True

    def held(self, actor: Actor) -> Hold:
        assert actor.hold is not None
        return actor.hold

    # Requests and what becomes of them.

    def carry_out(self, operation: Operation) -> Any:
        result = execute(operation, self.store, lambda _: None)
        if isinstance(operation, Create | Replace):
            if operation.key == PLACE.head_key:
                self.world.heads.append(decode_head(operation.body, operation.key))
            else:
                made = decode_pointer(operation.body, operation.key)
                lives = self.world.pointers.setdefault(operation.key, [])
                if isinstance(operation, Create):
                    lives.append([])
                lives[-1].append(made)
        return result

    def answer(self, actor: Actor, outcome: str) -> None:
        operation, steps = actor.operation, actor.steps
        assert operation is not None
        assert steps is not None
        error: Exception | None = None
        value: Any = None
        try:
            if isinstance(operation, Get | ListKeys | Wait) and outcome != "done":
                raise UnavailableError("away")
            match outcome:
                case "never":
                    raise OutcomeUnknownError("not sent")
                case "late":
                    self.late.append(operation)
                    raise OutcomeUnknownError("on its way")
                case "answer lost":
                    with suppress(ConditionFailedError, ObjectMissingError):
                        self.carry_out(operation)
                    raise OutcomeUnknownError("answer lost")
                case "twice":
                    self.carry_out(operation)
                    value = self.carry_out(operation)
                case _:
                    value = self.carry_out(operation)
        except (KizamiError, ConditionFailedError, ObjectMissingError) as problem:
            error = problem
        self.resume(actor, (lambda: steps.throw(error)) if error else (lambda: steps.send(value)))

    # No assume() below: it would throw the whole example away. A rule picks among the actors it applies to.

    @property
    def waiting(self) -> list[Actor]:
        return [actor for actor in self.actors if actor.operation is not None]

    @precondition(lambda self: self.waiting)
    @rule(
        index=INDICES,
        count=st.integers(0, 9),
        outcome=st.sampled_from(["done", "never", "late", "answer lost", "twice"]),
    )
    def step(self, index: int, count: int, outcome: str) -> None:
        """Some requests of an actor go well, and the next well or badly."""
        actor = self.waiting[index % len(self.waiting)]
        for each in [*["done"] * count, outcome]:
            if actor.operation is None:
                break
            self.answer(actor, each)

    @rule(seconds=st.sampled_from([1.0, 40.0, 100.0, 100.0]))
    def pass_time(self, seconds: float) -> None:
        """The store's clock goes on, and whoever did not beat meanwhile grows old."""
        self.world.now += seconds

    @rule(index=INDICES, silent=st.booleans())
    def crash(self, index: int, silent: bool) -> None:
        """A process dies where it stands, perhaps long enough ago to have expired."""
        self.actors[index].ended = True
        self.actors[index].operation = None
        if silent:
            self.world.now += 100.0

    @precondition(lambda self: any(actor.ended for actor in self.actors))
    @rule(date=st.sampled_from(DATES), plan=st.sampled_from(PLANS), choice=CHOICES)
    def begin_another(self, date: str, plan: tuple[str, ...], choice: int) -> None:
        """A new process comes in the place of one that has ended."""
        index = next(index for index, actor in enumerate(self.actors) if actor.ended)
        self.past.append(self.actors[index])
        self.actors[index] = self.newcomer(date, plan, choice)

    @rule(
        date=st.sampled_from(DATES),
        count=st.sampled_from([3, 5, 30, 30]),
        plan=st.sampled_from([PUBLISHING, PUBLISHING, ROLLING_BACK, TAKING_DOWN]),
        choice=CHOICES,
    )
    def overtake(self, date: str, count: int, plan: tuple[str, ...], choice: int) -> None:
        """All others pause past the expiry, and a rival does its work meanwhile, or begins it and dies."""
        self.overtaken(date, count, plan, choice)

    @precondition(lambda self: self.waiting)
    @rule(
        index=INDICES,
        outcome=st.sampled_from(["done", "never", "late", "answer lost", "twice"]),
        rivals=st.lists(
            st.tuples(
                st.sampled_from(DATES),
                st.sampled_from([2, 30]),
                st.sampled_from([PUBLISHING, ROLLING_BACK, TAKING_DOWN]),
            ),
            max_size=2,
        ),
    )
    def doubt(self, index: int, outcome: str, rivals: list[tuple[str, int, tuple[str, ...]]]) -> None:
        """A run's commit is answered well or badly, and before it can find out, others have come and gone."""
        actor = self.waiting[index % len(self.waiting)]
        for _ in range(30):
            if actor.operation is None or actor.stage in COMMITTING:
                break
            self.answer(actor, "done")
        if actor.operation is None:
            return
        self.answer(actor, outcome)
        for date, count, plan in rivals:
            self.overtaken(date, count, plan, choice=0)

    def overtaken(self, date: str, count: int, plan: tuple[str, ...], choice: int) -> None:
        self.world.now += 100.0
        rival = self.newcomer(date, plan, choice)
        for _ in range(count):
            if rival.operation is None:
                break
            self.answer(rival, "done")
        self.past.append(rival)

    @precondition(lambda self: self.late)
    @rule()
    def deliver(self) -> None:
        """A request arrives long after its sender has given it up."""
        with suppress(ConditionFailedError, ObjectMissingError):
            self.carry_out(self.late.pop(0))

    # What holds whatever happens.

    @property
    def chain(self) -> list[Commit]:
        made: list[Commit] = []
        for head in self.world.heads:
            if head.commit and (not made or not _same(head.commit, made[-1])):
                made.append(head.commit)
        return made

    @invariant()
    def commits_grow_one_by_one(self) -> None:
        assert [commit.n for commit in self.chain] == list(range(1, len(self.chain) + 1))
        assert [head.turn for head in self.world.heads] == list(range(1, len(self.world.heads) + 1))

    @invariant()
    def pointers_name_commits_that_were_made(self) -> None:
        made = {commit.n: commit for commit in self.chain}
        for key, lives in self.world.pointers.items():
            for versions in lives:
                numbers = [version.commit for version in versions]
                assert numbers == sorted(set(numbers)), key
                for version in versions:
                    commit = made[version.commit]
                    moves = [*commit.moves, *(move for each in commit.editions for move in each.moves)]
                    assert version in {commit.pointer, *(move.pointer for move in moves)} | {
                        each.latest for each in commit.editions
                    }
                    assert key.startswith(f"v{version.schema}/")

    @invariant()
    def latest_never_goes_to_an_earlier_date(self) -> None:
        versions = self.world.pointers.get(layout.latest_key(CORPUS), [[]])[0]
        made = {commit.n: commit for commit in self.chain}
        for before, after in pairwise(versions):
            assert before.date <= after.date or made[after.commit].rollback

    @invariant()
    def what_runs_believe_is_true(self) -> None:
        published = {commit.run for commit in self.chain}
        for actor in [*self.past, *self.actors]:
            if actor.belief == "published":
                assert actor.run in published
            if actor.belief == "not published":
                assert actor.run not in published

    def rested(self, hold: Hold) -> None:
        """Whoever truly holds the lock and has nothing under way leaves no pointer unwritten."""
        if self.world.heads[-1] == hold.head:
            self.pointers_are_complete()

    def pointers_are_complete(self, *, strays: bool = True) -> None:
        """Every pointer is as the commits say; ``strays``: one of a vanished date may have been brought back."""
        latest, dates, newest = self.expected()
        assert self.read(layout.latest_key(CORPUS)) == latest
        for date in DATES:
            found, expected = self.read(layout.date_key(CORPUS, date)), dates.get(date)
            if expected is not None or not strays:
                assert found == expected
        second = {date: snapshot for date, snapshot in newest.items() if _others(snapshot)}
        named = {layout.date_key(CORPUS, date, 2): second.get(date) for date in DATES}
        named[layout.latest_key(CORPUS, 2)] = second[max(second)] if second else None
        for key, snapshot in named.items():
            found = self.read(key)
            if snapshot is not None or not strays:
                assert (found.snapshot if found else None) == snapshot, key

    def read(self, key: str) -> Pointer | None:
        return decode_pointer(self.store.objects[key][0], key) if key in self.store.objects else None

    def expected(self) -> tuple[Pointer | None, dict[str, Pointer], dict[str, str]]:
        """``latest``, the dates' pointers, and the snapshots that the dates show, told from the commits alone."""
        latest: Pointer | None = None
        dates: dict[str, Pointer] = {}
        first: dict[str, Pointer] = {}
        alive: list[str] = []
        for commit in self.chain:
            if not commit.rollback:
                first[commit.snapshot] = dates[commit.date] = commit.pointer
                alive.append(commit.snapshot)
                latest = commit.pointer if latest is None or latest.date <= commit.date else latest
                continue
            if commit.run in self.copies:
                assert latest is not None
                copies = self.copies[commit.run]
                before = _newest(alive, first)
                first = {copies[each].snapshot if each in copies else each: first[each] for each in first}
                first = {each: replace(made, snapshot=each) for each, made in first.items()}
                alive = [copies[each].snapshot if each in copies else each for each in alive]
                after = _newest(alive, first)
                latest = replace(copies.get(latest.snapshot, latest), commit=commit.n)
                for date, each in after.items():
                    if before[date] != each or date == latest.date:
                        dates[date] = replace(first[each], commit=commit.n)
                continue
            target = first[commit.snapshot]
            before = _newest(alive, first)
            alive = [
                each
                for each in first
                if each == commit.snapshot
                or (each in alive and first[each].commit < target.commit and first[each].date <= target.date)
            ]
            after = _newest(alive, first)
            for date in {*before, *after}:
                if date not in after:
                    del dates[date]
                elif before.get(date) != after[date] or date == target.date:
                    dates[date] = replace(first[after[date]], commit=commit.n)
            latest = replace(target, commit=commit.n)
        return latest, dates, _newest(alive, first)

    def teardown(self) -> None:
        """Whatever happened, the next run takes the lock, leaves the pointers complete, and publishes."""
        self.world.now += 1000.0
        wanted = replace(holder("last", timing=TIMING), taken_at="at the end")

        def run(steps: Steps[Any]) -> Any:
            return perform(steps, self.store, lambda _: None)

        hold = run(protocol.take(PLACE, wanted)).hold
        if hold.head.unfinished:
            run(protocol.finish(PLACE, hold.head.unfinished))
            hold = run(protocol.settle(PLACE, hold))
        run(tidy(run(survey(PLACE, hold.head)).strays))
        self.pointers_are_complete(strays=False)
        vanished = {layout.date_key(CORPUS, date) for date in DATES if date not in self.expected()[1]}
        second = {layout.latest_key(CORPUS, 2), *(layout.date_key(CORPUS, date, 2) for date in DATES)}
        vanished |= {key for key in second if self.read(key) is None}
        while self.late:
            operation = self.late.pop(0)
            try:
                self.carry_out(operation)
            except (ConditionFailedError, ObjectMissingError):
                continue
            if not (isinstance(operation, Create | Remove) and operation.key in vanished):
                raise AssertionError("a late request was carried out after a new holder had begun")
        hold = run(protocol.publish(PLACE, hold, pointer("last", date=DATES[-1])))
        assert hold.head.commits == len(self.chain) + 1


def _newest(alive: list[str], first: dict[str, Pointer]) -> dict[str, str]:
    """The newest of these snapshots by date."""
    return {first[each].date: each for each in sorted(alive, key=lambda each: first[each].commit)}


def _others(snapshot: str) -> tuple[int, ...]:
    """The other versions of the schema that a snapshot is published in: two of three are in both, and their copies."""
    return (2,) if int(snapshot.split("-")[1]) % 3 else ()


def _same(one: Commit, other: Commit) -> bool:
    return replace(one, settled=False) == replace(other, settled=False)


TestProtocol = Machine.TestCase
TestProtocol.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
