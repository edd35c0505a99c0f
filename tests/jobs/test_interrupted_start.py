"""A signal while Ray starts, when its own handler stands in the place of the run's."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from kizami.ledger import State
from support.job import configuration, kizami
from support.kitchen import recipes, write_jsonl
from support.store_contents import head, ledger


def test_sigterm_while_ray_starts_ends_the_run_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 143 with one line, an entry that says so and the lock given back; the handlers are what they were."""
    stopped: list[bool] = []

    def start(**_asked: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(number))  # as Ray's
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 30)
        pytest.fail("the signal did not come")

    monkeypatch.setattr(ray, "init", start)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: stopped.append(True))
    write_jsonl(tmp_path / "recipes.jsonl", recipes(3))
    config = configuration(tmp_path, store="./store", source="./recipes.jsonl")
    before = signal.getsignal(signal.SIGTERM)
    code, answer, _ = kizami(capsys, "run", "recipes", "--config", config)
    assert (code, answer["message"].split(":")[0], stopped) == (143, "interrupted by signal 15", [True])
    (entry,) = ledger(str(tmp_path / "store"))
    assert (entry.state, entry.stage, entry.exit_code) == (State.INTERRUPTED, "ray", 143)
    assert head(str(tmp_path / "store")).holder is None
    assert signal.getsignal(signal.SIGTERM) == before
