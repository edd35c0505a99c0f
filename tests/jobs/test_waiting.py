"""Waiting for a submitted run: Ray says when to look, the ledger what became of it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

import pytest

from kizami.config import Config, CorpusConfig, LockConfig
from kizami.errors import KizamiError, SubmittedRunError, UnavailableError
from kizami.ledger import ErrorEntry, Ledger, RunEntry, State
from kizami.signals import Interruption
from kizami.submission import Place
from kizami_jobs.jobs_api import JobState
from kizami_jobs.submit import Waiting, command
from support.memory_store import Clock, MemoryStore

PLACE = Place("s3://bucket/tokens", "recipes", "r-1")
CONFIG = Config(
    PLACE.store,
    {"recipes": CorpusConfig("recipes", "s3://bucket/dumps", "id", ("title",))},
    ZoneInfo("Asia/Tokyo"),
    LockConfig(1, 4),
)
STARTED = RunEntry("r-1", "run", "recipes", "2026-11-23", State.STARTED, "analyse", "2026-11-23T05:00:00Z")
PUBLISHED = replace(STARTED, state=State.PUBLISHED, stage="publish", exit_code=0)
FAILED = replace(
    STARTED, state=State.FAILED, stage="read", exit_code=65, error=ErrorEntry("DataError", "a.jsonl is truncated")
)
RUNNING = JobState(False, "RUNNING", None)
AWAY = UnavailableError("the Jobs API does not answer")


def _ended(exit_code: int | None) -> JobState:
    return JobState(True, f"ended with {exit_code}", exit_code)


@dataclass
class Scene:
    """A cluster that answers what it is told to, one answer a look, the last one for ever."""

    answers: list[JobState | UnavailableError]
    logs: list[str] = field(default_factory=lambda: [""])
    entry: RunEntry | None = None
    url: str = "http://head:8265"
    shown: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    store: MemoryStore = field(default_factory=MemoryStore)
    interruption: Interruption = field(default_factory=Interruption)

    def state(self, run: str) -> JobState:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, UnavailableError):
            raise answer
        return answer

    def log(self, run: str) -> str:
        return self.logs.pop(0) if len(self.logs) > 1 else self.logs[0]

    def wait(self, monkeypatch: pytest.MonkeyPatch) -> RunEntry:
        """Wait; a second of sleep is a second of the clock."""
        if self.entry is not None:
            Ledger(self.store, "recipes").write(self.entry)

        def sleep(seconds: float) -> None:
            self.interruption.check()
            self.clock.now += seconds

        monkeypatch.setattr(self.interruption, "sleep", sleep)
        waiting = Waiting(
            self, self.store, CONFIG, PLACE, self.shown.append, self.said.append, self.interruption, self.clock
        )
        return waiting.wait()


def _error(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> KizamiError:
    with pytest.raises(KizamiError) as caught:
        scene.wait(monkeypatch)
    return caught.value


def test_the_log_is_shown_as_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece once, whether or not Ray answers in between."""
    scene = Scene([RUNNING, RUNNING, AWAY, _ended(0)], ["read", "read 12 documents\n"], PUBLISHED)
    assert scene.wait(monkeypatch) == PUBLISHED
    assert scene.shown == ["read", " 12 documents\n"]


def test_the_ledgers_word_counts_not_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray knows 0 and 1: the exit code is the ledger's, and so is the reason."""
    error = _error(Scene([_ended(1)], entry=FAILED), monkeypatch)
    assert (error.exit_code, error.details["run"]["state"]) == (65, "failed")
    assert str(error) == "run r-1 ended with exit 65: DataError at read: a.jsonl is truncated"
    assert Scene([_ended(1)], entry=PUBLISHED).wait(monkeypatch) == PUBLISHED


@pytest.mark.parametrize("exit_code", [65, 69, 75, 78])
def test_a_run_that_never_reached_the_ledger_ends_as_its_command_did(
    monkeypatch: pytest.MonkeyPatch, exit_code: int
) -> None:
    """With the code of kizami, if it has one."""
    error = _error(Scene([_ended(exit_code)]), monkeypatch)
    assert isinstance(error, SubmittedRunError)
    assert error.exit_code == exit_code
    assert "before the run had an entry in the ledger of s3://bucket/tokens" in str(error)


@pytest.mark.parametrize("exit_code", [None, 1, -9])
def test_any_other_end_is_69(monkeypatch: pytest.MonkeyPatch, exit_code: int | None) -> None:
    """Killed before it began, or never started."""
    assert _error(Scene([_ended(exit_code)]), monkeypatch).exit_code == 69


def test_a_cluster_without_kizami_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell found no such command."""
    assert "install kizami[jobs] on every host" in str(_error(Scene([_ended(127)]), monkeypatch))


def test_a_run_that_died_without_a_word_is_69(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its entry is open, its job is over: it says so, and when its lock is free."""
    error = _error(Scene([_ended(-9)], entry=STARTED), monkeypatch)
    assert error.exit_code == 69
    assert "run r-1 is started in the ledger (at analyse)" in str(error)
    assert "loses its lock after 4 s" in str(error)


def test_a_run_that_ends_while_ray_is_away_is_found_in_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that is gone, or has forgotten its jobs, hides no result."""
    scene = Scene([RUNNING, AWAY], entry=PUBLISHED)
    assert scene.wait(monkeypatch) == PUBLISHED
    assert scene.said == ["the Jobs API does not answer; the ledger in the store is looked at instead, for 4 s"]


@pytest.mark.parametrize(("entry", "what"), [(STARTED, "Ray does not answer"), (None, "has no entry of it")])
def test_when_nobody_knows_it_is_69(monkeypatch: pytest.MonkeyPatch, entry: RunEntry | None, what: str) -> None:
    """After as long as a dead run keeps its lock."""
    scene = Scene([RUNNING, AWAY], entry=entry)
    error = _error(scene, monkeypatch)
    assert error.exit_code == 69
    assert what in str(error)
    assert 4 <= scene.clock.now < 10


def test_an_interruption_names_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how to stop it."""
    scene = Scene([RUNNING], entry=STARTED)
    with scene.interruption.watching():
        signal.raise_signal(signal.SIGINT)
        error = _error(scene, monkeypatch)
    assert error.exit_code == 130
    assert "run r-1 goes on on the cluster; `ray job stop --address http://head:8265 r-1` stops it" in str(error)


def test_the_jobs_command_is_safe_in_a_shell() -> None:
    """Whatever characters the store's folder has."""
    words: Callable[..., str] = command
    assert words(Place("/srv/my tokens", "recipes", "r-1"), "--log", "json") == (
        "kizami run recipes --submission '/srv/my tokens/v1/recipes/submissions/r-1.json' --log json"
    )
