"""A signal at an awkward moment: while Ray starts, and while a snapshot is put together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
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


def test_under_nohup_a_closed_terminal_is_not_heard() -> None:
    """A signal that is ignored stays so."""
    script = "import signal; from kizami.signals import Interruption\n"
    script += "with Interruption().watching(): print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    done = subprocess.run(["nohup", sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.fixture(params=[signal.SIGTERM, signal.SIGHUP])
def heard(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that this process does not ignore, wherever it was started."""
    number: signal.Signals = request.param
    before = signal.signal(number, signal.SIG_DFL)
    yield number
    signal.signal(number, before)


@pytest.mark.ray
def test_a_signal_while_parts_are_put_together_leaves_no_folder(
    local_ray: int,
    heard: signal.Signals,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What nobody could use goes at once; the finished parts stay for the next run."""

    def interrupted(*given: Any, check: Any, **more: Any) -> Any:
        entries = assemble(*given, check=check, **more)
        os.kill(os.getpid(), heard)
        check()
        return entries

    monkeypatch.setattr("kizami.snapshot_making.assemble", interrupted)
    write_jsonl(tmp_path / "recipes.jsonl", recipes(3))
    config = configuration(tmp_path, store="./store", source="./recipes.jsonl")
    assert kizami(capsys, "run", "recipes", "--config", config)[0] == 128 + heard
    store = str(tmp_path / "store")
    assert list(open_store(store).list(layout.snapshots_prefix("recipes"))) == []
    assert len(staged(store)) == 1
    monkeypatch.undo()
    code, answer, _ = kizami(capsys, "run", "recipes", "--config", config)
    assert (code, answer["run"]["counts"]["parts_reused"]) == (0, 1)
