"""A signal at an awkward moment: while Ray starts, and while a snapshot is put together."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from kizami import layout
from kizami.assembly import assemble
from kizami.ledger import State
from kizami.stores import open_store
from support.job import configuration, kizami
from support.kitchen import recipes, write_jsonl
from support.store_contents import head, ledger, staged


def test_sigterm_while_ray_starts_ends_the_run_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's own handler stands in the place of the run's then. Exit 143 with one line, an entry that says so and the
    lock given back; the handlers are what they were."""
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


@pytest.mark.ray
def test_sigterm_while_parts_are_put_together_leaves_no_folder(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody could use goes at once; the finished parts stay for the next run."""

    def interrupted(*given: Any, check: Any, **more: Any) -> Any:
        entries = assemble(*given, check=check, **more)
        os.kill(os.getpid(), signal.SIGTERM)
        check()
        return entries

    monkeypatch.setattr("kizami.snapshot_making.assemble", interrupted)
    write_jsonl(tmp_path / "recipes.jsonl", recipes(3))
    config = configuration(tmp_path, store="./store", source="./recipes.jsonl")
    assert kizami(capsys, "run", "recipes", "--config", config)[0] == 143
    store = str(tmp_path / "store")
    assert list(open_store(store).list(layout.snapshots_prefix("recipes"))) == []
    assert len(staged(store)) == 1
    monkeypatch.undo()
    code, answer, _ = kizami(capsys, "run", "recipes", "--config", config)
    assert (code, answer["run"]["counts"]["parts_reused"]) == (0, 1)
