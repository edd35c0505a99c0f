"""Limits of time: past them a run ends with 124 and publishes nothing; expected times warn; the ledger says so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kizami.ledger import RunEntry, State
from kizami.stores import open_store
from kizami.stores.s3 import S3Patience
from kizami.webhook import VARIABLE
from support.faulty_s3 import FaultyS3, FaultyStore
from support.job import configuration, kizami, run
from support.kitchen import expected_texts, jsonl, recipes
from support.kizami_process import KizamiProcess
from support.store_contents import head, ledger, published, staged
from support.webhook_server import WebhookServer

pytestmark = [pytest.mark.s3, pytest.mark.ray]

DAY = "2026-11-23"


class Scene:
    """A corpus on S3, behind the proxy, with some keys of its own in the configuration."""

    def __init__(self, faulty_s3: FaultyStore, folder: Path) -> None:
        self.proxy: FaultyS3 = faulty_s3.proxy
        self._url, self.folder = faulty_s3.url, folder
        self.store = f"{self._url}/store"
        open_store(f"{self._url}/source").put(f"{DAY}/recipes.jsonl", jsonl(recipes(12)))

    def configured(self, more: str = "", part_bytes: str = "1KiB") -> Path:
        """The configuration; called again, another one in the same place."""
        return configuration(
            self.folder, store=self.store, source=f"{self._url}/source/{{date}}", part_bytes=part_bytes, more=more
        )

    def run(self, more: str = "", part_bytes: str = "1KiB") -> KizamiProcess:
        """A run as a process of its own, whose workers, too, meet the proxy."""
        config = self.configured(more, part_bytes)
        return KizamiProcess(["run", "recipes", "--date", DAY, "--config", config, "--json"], self.folder)

    def __call__(self, more: str = "", part_bytes: str = "1KiB") -> tuple[int, Any, str]:
        """A run from beginning to end: its exit code, its answer, what stands on stderr."""
        with self.run(more, part_bytes) as process:
            return process.wait(), json.loads(process.stdout), process.stderr

    def has_entry(self) -> bool:
        """Whether the ledger has one."""
        return bool(ledger(self.store))

    def entry(self) -> RunEntry:
        """The newest entry of the ledger."""
        return ledger(self.store)[0]


@pytest.fixture
def scene(faulty_s3: FaultyStore, tmp_path: Path) -> Iterator[Scene]:
    """Nothing published yet."""
    scene = Scene(faulty_s3, tmp_path)
    yield scene
    scene.proxy.clear()


def _assert_given_up(scene: Scene, stage: str, key: str) -> None:
    entry = scene.entry()
    assert (entry.state, entry.exit_code, entry.stage) == (State.FAILED, 124, stage)
    assert entry.error is not None
    assert entry.error.name == "DeadlineError"
    assert key in entry.error.message
    assert head(scene.store).holder is None
    assert head(scene.store).commits == 0


def test_a_part_past_its_limit_ends_the_run(local_ray: int, scene: Scene) -> None:
    """With 124, named, and without another attempt; what was finished is taken over when it goes better."""
    scene.proxy.delay("PUT", r"/staging/", 0.0, times=1)  # the first one passes
    rule = scene.proxy.hold("PUT", r"/staging/", times=None)
    code, answer, err = scene('part_time_limit = "3s"\n')
    assert code == 124, err
    assert "took longer than the part_time_limit of recipes, 3s: nothing was published" in answer["message"]
    assert "trying it again" not in err
    rule.release(drop=True)
    _assert_given_up(scene, "analyse", "part_time_limit")
    assert scene.entry().failed_attempts == ()
    finished = len(staged(scene.store))
    assert finished >= 1
    result = run(scene.configured(), day=DAY)
    assert result.entry.counts.parts_reused >= finished
    assert published(scene.store).texts() == expected_texts(recipes(12))


def test_a_run_past_its_limit_ends(scene: Scene) -> None:
    """With 124, wherever it is: here the source does not answer. It was late before, and said so once."""
    rule = scene.proxy.hold("GET", rf"source/{DAY}/recipes", times=None)
    # Long enough for a slow host to have started its Ray.
    code, answer, err = scene('time_limit = "10s"\nexpected_time = "1s"\n')
    assert code == 124, err
    assert "the run took longer than its time_limit, 10s: nothing was published" in answer["message"]
    assert err.count("late: the run takes longer than its expected_time, 1s") == 1
    rule.release(drop=True)
    _assert_given_up(scene, "read", "time_limit")
    assert scene.entry().late_since is not None


def test_a_late_run_publishes_all_the_same(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """The ledger has it while the run still goes on, for whoever watches from outside; history tells it."""
    rule = scene.proxy.hold("GET", rf"source/{DAY}/recipes", times=None)
    with scene.run('expected_time = "1s"\n') as process:
        rule.await_reached(60)
        _await(lambda: scene.entry().late_since is not None, "the run to be late")
        assert process.running
        rule.release()
        assert process.wait() == 0
    assert scene.entry().state is State.PUBLISHED
    code, history, _ = kizami(capsys, "history", "recipes", "--config", scene.configured())
    assert (code, history["runs"][0]["late_since"] is not None) == (0, True)


def test_sigterm_ends_a_run_whose_cluster_hangs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 30 s, with its entry closed, the lock free and the webhook told, though the store keeps a request of the
    driver itself: by the last resort."""
    rule = scene.proxy.hold("GET", r"/suppressed\.json$", times=None)
    webhook = WebhookServer()
    monkeypatch.setenv(VARIABLE, webhook.url)
    with webhook, scene.run("") as process:
        rule.await_reached(60)
        asked = time.monotonic()
        process.interrupt()
        assert process.wait(60) == 143
        assert time.monotonic() - asked < 30
        assert process.survivors() == []
        assert "(it did not stop by itself)" in process.stderr.splitlines()[-1]
        (told,) = webhook.taken
    rule.release(drop=True)
    entry = scene.entry()
    assert (entry.state, entry.stage, entry.exit_code) == (State.INTERRUPTED, "read", 143)
    assert f"run {entry.run} ended with 143 at read: InterruptedRunError" in told.text
    assert head(scene.store).holder is None


def test_a_store_that_refuses_is_asked_again_and_the_ledger_has_it(scene: Scene) -> None:
    """A source that cannot be read, and a part that cannot be written, for longer than a request is repeated: both are
    made again after a second."""
    source = scene.proxy.slow_down("GET", rf"source/{DAY}/recipes", times=None)
    upload = scene.proxy.slow_down("PUT", r"/staging/", times=S3Patience().attempts + 1)
    with scene.run(part_bytes="32MiB") as process:
        _await(lambda: scene.has_entry() and scene.entry().failed_attempts != (), "the source to be given up once")
        source.times = source.hits  # it answers again
        assert process.wait() == 0, process.stderr
        answer = json.loads(process.stdout)
    assert upload.hits == upload.times
    reading, writing = answer["run"]["failed_attempts"]
    assert (reading["part"], writing["part"]) == (None, 0)
    assert "recipes.jsonl cannot be read" in reading["what"]
    assert "/staging/" in writing["what"]
    assert (reading["wait_seconds"], writing["wait_seconds"]) == (1.0, 1.0)
    assert published(scene.store).texts() == expected_texts(recipes(12))


def _await(condition: Callable[[], bool], what: str, patience: float = 120.0) -> None:
    ends = time.monotonic() + patience
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {patience:.0f} s for {what}")
        time.sleep(0.1)
