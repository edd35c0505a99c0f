"""Runs killed, interrupted or overtaken at an exact request: readers never notice, and the next run goes on."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kizami.config import Config, load_config
from kizami.ledger import RunEntry, State
from kizami.stores import open_store
from support.faulty_s3 import FaultyS3, FaultyStore, Rule
from support.job import configuration, kizami, run
from support.kitchen import expected_texts, jsonl, recipes, write_jsonl
from support.kizami_process import KizamiProcess
from support.store_contents import Published, head, ledger, published, staged

pytestmark = [pytest.mark.s3, pytest.mark.ray]

YESTERDAY, TODAY = "2026-11-22", "2026-11-23"
COUNT = 60
FIRST = 30
"""The first recipe that today still has: so far on that no part is what it was."""
LOCK = '[lock]\nbeat = "1s"\nexpiry = "4s"\n'


@dataclass(frozen=True, slots=True)
class Scene:
    """A store with yesterday's snapshot, today's source on S3 too, and the proxy in between."""

    path: Path
    config: Config
    proxy: FaultyS3
    yesterday: Published

    @property
    def store(self) -> str:
        """URL of the store."""
        return self.config.store

    def run(self) -> KizamiProcess:
        """Today's run as a process of its own."""
        folder = Path(tempfile.mkdtemp(prefix="process-", dir=self.path.parent))
        return KizamiProcess(["run", "recipes", "--date", TODAY, "--config", self.path, "--json"], folder)

    def drop(self, rule: Rule) -> None:
        """Break the connections of what is held, and hold nothing more."""
        rule.release(drop=True)
        self.proxy.clear()

    def published(self) -> Published:
        """What readers see now."""
        return published(self.store)

    def entry(self, place: int = 0) -> RunEntry:
        """An entry of the ledger, 0 the newest."""
        return ledger(self.store)[place]


@pytest.fixture
def scene(local_ray: int, faulty_s3: FaultyStore, tmp_path: Path) -> Scene:
    """Yesterday published; today has changed, new and missing documents."""
    source = open_store(f"{faulty_s3.url}/source")
    for day, first in ((YESTERDAY, 0), (TODAY, FIRST)):
        for place in range(2):
            source.put(f"{day}/part-{place}.jsonl", jsonl(recipes(COUNT, first)[place::2]))
    path = configuration(
        tmp_path,
        store=f"{faulty_s3.url}/store",
        source=f"{faulty_s3.url}/source/{{date}}/*.jsonl",
        part_bytes="1KiB",
        head=LOCK,
    )
    config = load_config(path)
    run(config, day=YESTERDAY)
    return Scene(path, config, faulty_s3.proxy, published(config.store))


@pytest.fixture(scope="module")
def undisturbed(local_ray: int, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The snapshots of the same two days in a folder, made without disturbance."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for day, first in ((YESTERDAY, 0), (TODAY, FIRST)):
        write_jsonl(folder / day / "all.jsonl", recipes(COUNT, first))
    path = configuration(folder, store="./store", source="./{date}", part_bytes="1KiB")
    for day in (YESTERDAY, TODAY):
        run(path, day=day)
    return published(str(folder / "store"))


def _reading(proxy: FaultyS3) -> Rule:
    return proxy.hold("GET", rf"source/{TODAY}/part-1", times=None)


def _mid_part(proxy: FaultyS3) -> Rule:
    proxy.delay("PUT", r"/staging/", 0.0, times=1)  # the first one passes
    return proxy.hold("PUT", r"/staging/", times=None)


def _all_parts_written(proxy: FaultyS3) -> Rule:
    return proxy.hold("PUT", r"/snapshots/", times=None)


def _no_manifest(proxy: FaultyS3) -> Rule:
    return proxy.hold("PUT", r"/manifests/", times=None)


def _before_the_commit(proxy: FaultyS3) -> Rule:
    # Once: a commit whose answer does not come is sent again, long after these tests have gone on.
    return proxy.hold("PUT", r"/head\.json$", body=rb'"commit": \{\s*"n": 2,.*"settled": false')


@pytest.mark.parametrize(
    ("moment", "stage", "finished"),
    [
        pytest.param(_reading, "read", lambda parts: 0, id="reading"),
        pytest.param(_mid_part, "analyse", lambda parts: 1, id="mid-part"),
        pytest.param(_all_parts_written, "assemble", lambda parts: parts, id="all parts written"),
        pytest.param(_no_manifest, "assemble", lambda parts: parts, id="copied, no manifest"),
        pytest.param(_before_the_commit, "publish", lambda parts: parts, id="before the commit"),
    ],
)
def test_a_killed_run_is_finished_by_the_next(
    scene: Scene,
    undisturbed: Published,
    moment: Callable[[FaultyS3], Rule],
    stage: str,
    finished: Callable[[int], int],
) -> None:
    """After SIGKILL readers see yesterday's snapshot, no process is left, and the next run analyses only what is not
    finished; its snapshot is that of an undisturbed run."""
    parts = len(undisturbed.manifest.parts)
    assert parts > 4
    rule = moment(scene.proxy)
    with scene.run() as process:
        rule.await_reached(60)
        if finished(parts) == 1:
            _await(lambda: len(staged(scene.store)) == 1, "the first part to be staged")
        process.kill()
        assert process.survivors() == []
    scene.drop(rule)
    assert scene.published() == scene.yesterday
    assert scene.yesterday.texts() == expected_texts(recipes(COUNT))
    assert len(staged(scene.store)) == finished(parts)
    dead = scene.entry()
    assert (dead.state, dead.stage) == (State.STARTED, stage)

    result = run(scene.config, day=TODAY)

    counts = result.entry.counts
    assert (counts.parts, counts.parts_reused) == (parts, finished(parts))
    assert counts.parts_analysed == parts - finished(parts)
    done = counts.texts_analysed + counts.texts_reused
    if finished(parts) in {0, parts}:
        assert done == (counts.texts if finished(parts) == 0 else 0)
    else:
        assert 0 < done < counts.texts
    assert scene.entry() == result.entry
    assert (scene.entry(1).run, scene.entry(1).state) == (dead.run, State.DIED)
    _assert_same(scene.published(), undisturbed)


def test_a_run_killed_between_commit_and_pointers_is_published_by_the_next(
    scene: Scene, undisturbed: Published
) -> None:
    """Once head.json has the commit, whoever takes the lock next writes the pointers, and finds nothing else to do."""
    rule = scene.proxy.hold("PUT", rf"/dates/{TODAY}\.json$", times=None)
    with scene.run() as process:
        rule.await_reached(60)
        process.kill()
        assert process.survivors() == []
    scene.drop(rule)
    assert scene.published() == scene.yesterday
    commit = head(scene.store).unfinished
    assert commit is not None

    result = run(scene.config, day=TODAY)

    assert result.entry.state is State.UNCHANGED
    assert result.entry.counts.texts_analysed == 0
    assert result.pointer == commit.pointer
    assert head(scene.store).unfinished is None
    dead = scene.entry(1)
    assert (dead.run, dead.state, dead.snapshot) == (commit.run, State.DIED, commit.snapshot)
    assert scene.published().pointer == published(scene.store, date=TODAY).pointer == commit.pointer
    _assert_same(scene.published(), undisturbed)


def test_a_run_killed_between_the_two_pointers_is_finished_by_the_next(scene: Scene, undisturbed: Published) -> None:
    """The date's pointer stands, latest.json does not: the next run writes it."""
    rule = scene.proxy.hold("PUT", r"/latest\.json$", times=None)
    with scene.run() as process:
        rule.await_reached(60)
        process.kill()
        assert process.survivors() == []
    scene.drop(rule)
    assert scene.published() == scene.yesterday
    assert run(scene.config, day=TODAY).entry.state is State.UNCHANGED
    _assert_same(scene.published(), undisturbed)


def test_sigterm_ends_a_run_in_order(scene: Scene, undisturbed: Published) -> None:
    """SIGTERM exits 143 with one line, records the run as interrupted and gives the lock back: a rerun starts at once
    and takes over what was finished."""
    rule = _mid_part(scene.proxy)
    with scene.run() as process:
        rule.await_reached(60)
        _await(lambda: len(staged(scene.store)) == 1, "the first part to be staged")
        process.interrupt()
        assert process.wait(60) == 143
        assert process.survivors() == []
        assert process.stderr.splitlines()[-1].startswith("kizami: interrupted by signal 15")
    scene.drop(rule)
    assert head(scene.store).holder is None
    entry = scene.entry()
    assert (entry.state, entry.exit_code, entry.stage) == (State.INTERRUPTED, 143, "analyse")
    assert scene.published() == scene.yesterday

    result = run(scene.config, day=TODAY)

    assert result.entry.counts.parts_reused == 1
    assert result.entry.stage_seconds.keys() >= {"publish"}
    assert scene.entry(1) == entry
    _assert_same(scene.published(), undisturbed)


def test_of_two_runs_at_once_one_publishes(scene: Scene, undisturbed: Published) -> None:
    """The second one exits 75, says who holds the lock and leaves an entry; the first one publishes."""
    rule = scene.proxy.hold("PUT", r"/manifests/", times=None)
    with scene.run() as one, scene.run() as other:
        _await(lambda: not (one.running and other.running), "one of the two to give up", 60)
        winner, loser = (other, one) if other.running else (one, other)
        assert loser.wait() == 75
        assert f"pid {winner.pid}" in loser.stderr.splitlines()[-1]
        rule.await_reached(60)
        rule.release()
        assert winner.wait() == 0
    states = {scene.entry(place).state for place in range(2)}
    assert states == {State.PUBLISHED, State.REFUSED}
    assert head(scene.store).commits == 2
    _assert_same(scene.published(), undisturbed)


def test_a_run_that_lost_its_lock_cannot_publish(
    scene: Scene, undisturbed: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    """A commit that hangs until another run has taken over and published fails with exit 75; the store is whole."""
    rule = _before_the_commit(scene.proxy)
    with scene.run() as slow:
        rule.await_reached(60)
        # Come again, as a scheduler would, until the lock has expired.
        code, err = 75, ""
        answer: Any = None
        while code == 75:
            code, answer, err = kizami(capsys, "run", "recipes", "--date", TODAY, "--config", scene.path)
        assert code == 0, err
        assert answer["run"]["state"] == "published"
        assert answer["run"]["counts"]["texts_analysed"] == 0
        rule.release()
        assert slow.wait() == 75
        assert "lost the lock" in slow.stderr.splitlines()[-1]
    assert scene.published().pointer.snapshot == answer["snapshot"]["snapshot"]
    assert head(scene.store).commits == 2
    _assert_same(scene.published(), undisturbed)


def test_a_worker_killed_in_mid_part_does_not_end_the_run(scene: Scene, undisturbed: Published) -> None:
    """kill -9 of a worker process costs its part another attempt, and nothing else."""
    rule = scene.proxy.hold("PUT", r"/staging/", times=None)
    with scene.run() as process:
        rule.await_reached(60)
        workers = process.workers("make_part")
        assert workers
        os.kill(workers[0].pid, 9)
        workers[0].wait(10)
        rule.release()  # the dead worker's request too: it harms nobody
        assert process.wait() == 0
    assert process.stderr.count("attempt 1 of 4: its worker died; trying it again") == 1
    assert json.loads(process.stdout)["run"]["counts"]["quarantined"] == 0
    assert scene.entry().state is State.PUBLISHED
    _assert_same(scene.published(), undisturbed)


def _assert_same(found: Published, undisturbed: Published) -> None:
    """Row for row, part for part, and nothing left behind in staging."""
    assert found.texts() == expected_texts(recipes(COUNT, FIRST))
    assert found.rows().equals(undisturbed.rows())
    assert [(part.lower, part.key) for part in found.manifest.parts] == [
        (part.lower, part.key) for part in undisturbed.manifest.parts
    ]
    listed = [info.key for info in open_store(found.store).list(found.pointer.path)]
    assert listed == [f"{found.pointer.path}{part.name}" for part in found.manifest.parts]
    assert staged(found.store) == []


def _await(condition: Callable[[], bool], what: str, patience: float = 20.0) -> None:
    ends = time.monotonic() + patience
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {patience:.0f} s for {what}")
        time.sleep(0.05)
