"""Reading on the workers: a task that ends in the middle of what it yields has not read to its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ray.exceptions import WorkerCrashedError

from kizami_jobs import reading
from kizami_jobs.reading import Corpus


class _Stream:
    """Yields an index, and in the place of its block what Ray gives of a task that ended between the two."""

    def __init__(self) -> None:
        self._objects = iter(["index", "the task"])

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._objects)

    def completed(self) -> str:
        """What stands for the task itself."""
        return "the task"


def test_a_task_that_ends_between_an_index_and_its_block_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is raised, so that it is tried again; its last block is not taken for one."""

    def get(reference: str) -> Any:
        if reference == "the task":
            raise WorkerCrashedError
        return reference

    monkeypatch.setattr("ray.get", get)
    found = Corpus()
    with pytest.raises(WorkerCrashedError):
        reading._take(_Stream(), found)
    assert found.take_blocks() == []
