"""One run at a time, under real conditions: many starts at once, a run that is paused, and yesterday's failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import support
from kizami.errors import DataError, LockHeldError
from kizami.ledger import State
from kizami.stores import open_store
from kizami_jobs.daily import RunResult
from support.faulty_s3 import FaultyStore
from support.job import configuration, run
from support.kitchen import expected_texts, jsonl, recipes, write_jsonl
from support.kizami_process import KizamiProcess
from support.store_contents import head, ledger, published

pytestmark = [pytest.mark.s3, pytest.mark.ray]

STARTS = 50
YESTERDAY, DAY = "2026-11-22", "2026-11-23"
LOCK = '[lock]\nbeat = "1s"\nexpiry = "4s"\n'


def _configured(tmp_path: Path, faulty_s3: FaultyStore, **more: str) -> Path:
    open_store(f"{faulty_s3.url}/source").put(f"{DAY}/recipes.jsonl", jsonl(recipes(12)))
    return configuration(tmp_path, store=f"{faulty_s3.url}/store", source=f"{faulty_s3.url}/source/{{date}}", **more)


def test_of_fifty_starts_at_once_one_runs(faulty_s3: FaultyStore, tmp_path: Path) -> None:
    """The other forty-nine exit 75, each naming the one that runs, before any of them has started a Ray; all fifty are
    in the ledger, and there is one snapshot."""
    config = _configured(tmp_path, faulty_s3, part_bytes="1KiB")
    rule = faulty_s3.proxy.hold("GET", rf"source/{DAY}/recipes", times=None)
    script = Path(support.__path__[0]) / "many_starts.py"
    command = [sys.executable, str(script), str(STARTS), str(tmp_path), "run", "recipes", "--config", str(config)]
    with subprocess.Popen([*command, "--date", DAY], stdout=subprocess.PIPE, text=True) as process:
        parent = psutil.Process(process.pid)
        try:
            assert process.stdout is not None
            children = [int(word) for word in process.stdout.readline().split()]
            assert len(children) == STARTS
            _await(lambda: len(list(tmp_path.glob("*.code"))) == STARTS - 1, "forty-nine to give up", 120)
            losers = {int(path.stem) for path in tmp_path.glob("*.code")}
            (winner,) = set(children) - losers
            rays = {each.ppid() for each in parent.children(recursive=True) if each.name() in {"gcs_server", "raylet"}}
            assert rays <= {winner}
            rule.await_reached(60)
            rule.release()
            assert process.wait(120) == 0
        finally:
            for each in parent.children(recursive=True) if parent.is_running() else []:
                each.kill()
    codes = Counter(int((tmp_path / f"{child}.code").read_text()) for child in children)
    assert codes == {0: 1, 75: STARTS - 1}
    entries = ledger(f"{faulty_s3.url}/store")
    assert Counter(entry.state for entry in entries) == {State.PUBLISHED: 1, State.REFUSED: STARTS - 1}
    (made,) = [entry for entry in entries if entry.state is State.PUBLISHED]
    for child in losers:
        said = (tmp_path / f"{child}.err").read_text().splitlines()
        assert len(said) == 1
        assert made.run in said[0]
        assert f"pid {winner}" in said[0]
    assert head(f"{faulty_s3.url}/store").commits == 1
    assert published(f"{faulty_s3.url}/store").texts() == expected_texts(recipes(12))


def test_a_run_that_was_paused_past_its_expiry_never_publishes(
    local_ray: int, faulty_s3: FaultyStore, tmp_path: Path
) -> None:
    """Stopped by SIGSTOP just before its commit, while another run takes over and publishes; when it goes on it ends
    with 75, and what readers see is the other's."""
    config = _configured(tmp_path, faulty_s3, head=LOCK, part_bytes="1KiB")
    rule = faulty_s3.proxy.hold("PUT", r"/manifests/")
    arguments = ["run", "recipes", "--date", DAY, "--config", str(config)]
    with KizamiProcess(arguments, tmp_path) as paused:
        rule.await_reached(60)
        os.kill(paused.pid, signal.SIGSTOP)
        rule.release()
        other = _come_again(config)
        assert other.entry.state is State.PUBLISHED
        os.kill(paused.pid, signal.SIGCONT)
        assert paused.wait(60) == 75
        assert "lock" in paused.stderr.splitlines()[-1]
    store = f"{faulty_s3.url}/store"
    assert head(store).commits == 1
    assert published(store).pointer.snapshot == other.pointer.snapshot
    assert _states(store) == [State.PUBLISHED, State.DIED]


def test_yesterdays_failure_does_not_block_today(local_ray: int, tmp_path: Path) -> None:
    """Yesterday's run found a source that is cut off, and the one after it was killed with the lock in its hands: today
    is published, and yesterday when its source is whole."""
    for day, first in ((YESTERDAY, 0), (DAY, 7)):
        write_jsonl(tmp_path / day / "recipes.jsonl", recipes(12, first))
    whole = (tmp_path / YESTERDAY / "recipes.jsonl").read_bytes()
    (tmp_path / YESTERDAY / "recipes.jsonl").write_bytes(whole[:-20])
    config = configuration(tmp_path, store="./store", source="./{date}", head=LOCK)
    store = str(tmp_path / "store")
    with pytest.raises(DataError, match="truncated"):
        run(config, day=YESTERDAY)
    with KizamiProcess(["run", "recipes", "--date", YESTERDAY, "--config", str(config)], tmp_path) as process:
        _await(lambda: ledger(store)[0].stage == "ray", "the run to hold the lock", 60)
        process.kill()
    assert head(store).holder is not None
    assert _come_again(config).entry.state is State.PUBLISHED
    assert published(store).texts() == expected_texts(recipes(12, 7))
    (tmp_path / YESTERDAY / "recipes.jsonl").write_bytes(whole)
    assert run(config, day=YESTERDAY).entry.state is State.PUBLISHED
    assert published(store).pointer.date == DAY
    assert _states(store) == [State.PUBLISHED, State.PUBLISHED, State.DIED, State.FAILED]


def _come_again(config: Path) -> RunResult:
    """Today's run, started again for as long as the lock counts as held, as a scheduler would."""
    ends = time.monotonic() + 60
    while True:
        try:
            return run(config, day=DAY)
        except LockHeldError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)


def _states(store: str) -> list[State]:
    """What became of the runs that got the lock, the newest first."""
    return [entry.state for entry in ledger(store) if entry.state is not State.REFUSED]


def _await(condition: Callable[[], bool], what: str, patience: float) -> None:
    ends = time.monotonic() + patience
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {patience:.0f} s for {what}")
        time.sleep(0.05)
