"""The clock of a run: a limit that ends it, an expectation that makes it late."""

from __future__ import annotations

import pytest

from kizami.deadline import Deadline, duration
from kizami.errors import DeadlineError
from support.memory_store import Clock


def test_past_its_limit_a_run_ends_with_124() -> None:
    """Up to the limit nothing happens; after it every look raises, and the message names the key and its value."""
    clock = Clock()
    deadline = Deadline(90, clock=clock)
    clock.now = 90
    deadline.check()
    assert deadline.error is None
    clock.now = 90.5
    for _ in range(2):
        with pytest.raises(DeadlineError, match=r"time_limit, 90s: nothing was published") as caught:
            deadline.check()
    assert caught.value.exit_code == 124
    assert str(deadline.error) == str(caught.value)


def test_a_late_run_says_so_once() -> None:
    """It goes on."""
    clock, said = Clock(), list[str]()
    deadline = Deadline(None, 3600, on_late=said.append, clock=clock)
    deadline.check()
    assert said == []
    clock.now = 3601
    deadline.check()
    deadline.check()
    assert said == ["late: the run takes longer than its expected_time, 1h"]


def test_without_limits_a_run_may_take_for_ever() -> None:
    """The default."""
    clock = Clock()
    deadline = Deadline(clock=clock)
    clock.now = 1e9
    deadline.check()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5s"), (90, "90s"), (60, "1m"), (1800, "30m"), (5400, "90m"), (21600, "6h")]
)
def test_durations_are_written_as_in_the_configuration(seconds: float, text: str) -> None:
    """In the largest unit that leaves no rest."""
    assert duration(seconds) == text
