"""Which failures are tried again, how often, and how long is waited: by class, as Ray reports them."""

from __future__ import annotations

import time
from typing import Any

import pytest
import ray.exceptions

from kizami.analysis.watchdog import AnalyserFaultError
from kizami.errors import ConfigurationError, DataError, DeadlineError, LastingError, UnavailableError
from kizami.ledger import FailedAttempt
from kizami.stores import OutcomeUnknownError
from kizami_jobs.retries import ATTEMPTS, PutOff, retry, trying_again
from support.memory_store import Clock

_ray: Any = ray.exceptions  # has no types


def _raised(cause: Exception) -> Exception:
    """As `ray.get` raises what a task raised."""
    error: Exception = _ray.RayTaskError("make_part", "Traceback …", cause).as_instanceof_cause()
    return error


def _lost(kind: Any) -> Exception:
    error: Exception = kind("00" * 28, None, "")
    return error


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (_ray.WorkerCrashedError(), "its worker died"),
        (_ray.OutOfMemoryError("Task was killed due to the node running low on memory."), "lack of memory on its host"),
        (_ray.NodeDiedError("the node died"), "its host died"),
        (_lost(_ray.ObjectLostError), "its data were lost with a host"),
        (_lost(_ray.ObjectReconstructionFailedError), "its data were lost with a host"),
        (_lost(_ray.OwnerDiedError), "its data were lost with a host"),
        (_raised(_lost(_ray.ObjectLostError)), "its data were lost with a host"),
        (_raised(UnavailableError("s3://b: the store does not answer")), "the store does not answer"),
        (_raised(OutcomeUnknownError("s3://b: no good answer to the write")), "no good answer"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_what_may_be_over_is_tried_again_after_a_while(error: Exception, what: str) -> None:
    """A lost worker, host or object and a store error: three times, after a second, then longer and longer."""
    found = [retry(error, attempts) for attempts in range(1, ATTEMPTS + 1)]
    assert found[-1] is None
    waits = []
    for each in found[:-1]:
        assert each is not None
        assert what in each[0]
        waits.append(each[1])
    assert waits == [1.0, 3.0, 9.0]


def test_a_text_that_ends_mecab_is_met_at_once() -> None:
    """By a guarded attempt, which holds it back: waiting would change nothing."""
    assert retry(_raised(AnalyserFaultError("MeCab raised an error")), 1) == ("MeCab raised an error", 0.0)


@pytest.mark.parametrize(
    "error",
    [
        _raised(LastingError("host b has other versions")),
        _raised(DataError("truncated")),
        _raised(ConfigurationError("no such column")),
        _raised(DeadlineError("too long")),
        _raised(ValueError("a bug")),
        _ray.TaskCancelledError(),
    ],
    ids=lambda error: type(getattr(error, "cause", error)).__name__,
)
def test_what_would_be_the_same_again_is_not_tried_again(error: Exception) -> None:
    """Data, configuration, other versions on a host, a time-out, a bug: never."""
    assert retry(error, 1) is None


def test_another_attempt_is_announced() -> None:
    """Which it is, why, and after how long."""
    failed = FailedAttempt(3, "its worker died", 9.0)
    assert trying_again(failed, 3) == "attempt 3 of 4: its worker died; trying it again after 9 s"
    assert trying_again(FailedAttempt(3, "x"), 1) == "attempt 1 of 4: x; trying it again"


def test_what_is_put_off_comes_once_when_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each after its own seconds."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    put_off = PutOff[str]()
    put_off.add("later", 9)
    put_off.add("soon", 1)
    found = []
    for clock.now in (0, 1, 2, 9, 10):
        found.append(put_off.due())
    assert found == [[], ["soon"], [], ["later"], []]
    assert not put_off
