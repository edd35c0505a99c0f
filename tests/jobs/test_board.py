"""The board: what workers tell of their parts is what the driver finds there."""

from __future__ import annotations

import pytest
import ray

from kizami.part_builder import Done
from kizami_jobs.board import Board, Standing


def test_the_last_word_of_each_part_stands_on_the_board(local_ray: int) -> None:
    """Told by another process, of this run alone, until it is wiped; in the end nothing is left in the cluster."""

    @ray.remote(num_cpus=0)
    def work(board: Board) -> None:
        for texts in (0, 5, 7):
            board.tell(1, Done(texts, texts // 2))
        board.tell(12, Done(3, 3))

    board, other = Board("20261123T000000Z-one"), Board("20261123T000000Z-other")
    other.tell(1, Done(99, 99))
    ray.get(work.remote(board))
    assert board.told() == {1: Done(7, 3), 12: Done(3, 3)}
    board.wipe(1)
    board.wipe(1)
    assert board.told() == {12: Done(3, 3)}
    board.clear()
    assert board.told() == {}
    assert other.told() == {1: Done(99, 99)}
    other.clear()
    assert other.told() == {}


def test_the_slowest_part_is_the_one_begun_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those under way; one that is tried again begins anew."""
    clock = iter([10.0, 20.0, 20.0, 30.0, 40.0, 40.0])
    monkeypatch.setattr("kizami_jobs.board.time.monotonic", lambda: next(clock))
    standing = Standing()
    assert (standing.slowest, standing.seconds, standing.done) == (None, 0.0, Done())
    standing.update({3: Done()}, {3, 4})  # at 10
    standing.update({3: Done(5, 1), 4: Done(2, 2), 9: Done(8, 8)}, {3, 4})  # at 20
    assert (standing.slowest, standing.seconds, standing.done) == (3, 10.0, Done(7, 3))
    standing.update({4: Done(2, 2)}, {4})  # at 30
    standing.update({3: Done(), 4: Done(4, 4)}, {3, 4})  # at 40
    assert (standing.slowest, standing.seconds, standing.done) == (4, 20.0, Done(4, 4))
