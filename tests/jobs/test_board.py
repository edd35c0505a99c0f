"""The board: what workers tell of their parts is what the driver finds there."""

from __future__ import annotations

import pytest
import ray

from kizami.part_builder import Done
from kizami_jobs.board import Attempt, Board, Standing

_ONE, _TWELVE = Attempt(1, 0), Attempt(12, 3)


@pytest.mark.ray
def test_the_last_word_of_each_attempt_stands_on_the_board(local_ray: int) -> None:
    """Told by another process, of this run alone, until it is wiped; in the end nothing is left in the cluster."""

    @ray.remote(num_cpus=0)
    def work(board: Board) -> None:
        for texts in (0, 5, 7):
            board.tell(_ONE, Done(texts, texts // 2))
        board.tell(_TWELVE, Done(3, 3))

    board, other = Board("20261123T000000Z-one"), Board("20261123T000000Z-other")
    other.tell(_ONE, Done(99, 99))
    ray.get(work.remote(board))
    assert board.told() == {_ONE: Done(7, 3), _TWELVE: Done(3, 3)}
    board.wipe(_ONE)
    board.wipe(_ONE)
    assert board.told() == {_TWELVE: Done(3, 3)}
    board.clear()
    assert board.told() == {}
    assert other.told() == {_ONE: Done(99, 99)}
    other.clear()
    assert other.told() == {}


def test_each_attempt_has_a_clock_of_its_own() -> None:
    """The second at a part begins anew, however soon it comes; one that nobody waits for does not count."""
    first, second, other, stale = Attempt(3, 0), Attempt(3, 1), Attempt(4, 0), Attempt(9, 0)
    standing = Standing()
    assert (standing.done, standing.overdue(0, now=5)) == (Done(), None)
    standing.update({first: Done()}, {first, other}, now=10)
    standing.update({first: Done(5, 1), other: Done(2, 2), stale: Done(8, 8)}, {first, other}, now=20)
    assert standing.done == Done(7, 3)
    assert [standing.overdue(limit, now=20) for limit in (9, 10)] == [3, None]
    standing.update({second: Done(1, 0), other: Done(4, 4)}, {second, other}, now=21)
    assert standing.done == Done(5, 4)
    assert [standing.overdue(limit, now=25) for limit in (3, 4.5, 5)] == [4, 4, None]
