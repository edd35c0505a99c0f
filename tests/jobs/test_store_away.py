"""SIGTERM while the store is away: the run ends within 30 s all the same, and says what the store was not told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kizami.ledger import RunEntry, State
from kizami.webhook import VARIABLE
from support.faulty_s3 import FaultyS3, FaultyStore, Rule
from support.job import configuration
from support.kitchen import recipes, write_jsonl
from support.kizami_process import KizamiProcess
from support.store_contents import head, ledger
from support.webhook_server import WebhookServer

pytestmark = [pytest.mark.s3, pytest.mark.ray]


class Scene:
    """A run on a store behind a proxy that can be away; source and webhook are there."""

    def __init__(self, folder: Path, store: FaultyStore, webhook: WebhookServer) -> None:
        self.proxy, self.store = store.proxy, f"{store.url}/store"
        self._folder, self._webhook = folder, webhook
        write_jsonl(folder / "recipes.jsonl", recipes(12))
        self._path = configuration(
            folder,
            store=self.store,
            source="./recipes.jsonl",
            part_bytes="1KiB",
            head='[lock]\nbeat = "1s"\nexpiry = "90s"\n',
        )

    def run(self) -> KizamiProcess:
        """The run as a process of its own."""
        return KizamiProcess(["run", "recipes", "--config", self._path], self._folder, {VARIABLE: self._webhook.url})

    def entry(self) -> RunEntry:
        """Its entry in the ledger, once the store is there again."""
        (entry,) = ledger(self.store)
        return entry


@pytest.fixture
def webhook() -> Iterator[WebhookServer]:
    """A webhook."""
    with WebhookServer() as running:
        yield running


@pytest.fixture
def scene(faulty_s3: FaultyStore, tmp_path: Path, webhook: WebhookServer) -> Scene:
    """A run to be made."""
    return Scene(tmp_path, faulty_s3, webhook)


def silence(proxy: FaultyS3) -> Rule:
    """Take all requests from now on, and answer none."""
    return proxy.hold(".*", ".*", times=None)


def drop(proxy: FaultyS3, *rules: Rule) -> None:
    """Be there again; what was held is never carried out."""
    for rule in rules:
        rule.release(drop=True)
    proxy.clear()


def ended(process: KizamiProcess) -> tuple[int, float]:
    """Send SIGTERM: the exit code, and after how many seconds it came."""
    asked = time.monotonic()
    process.interrupt()
    code = process.wait(60)
    seconds = time.monotonic() - asked
    print(f"ended {seconds:.1f} s after SIGTERM")
    return code, seconds


def test_sigterm_ends_a_run_whose_store_refuses(scene: Scene, webhook: WebhookServer) -> None:
    """Soon, since nobody has to be waited for; the webhook is told, the lock expires."""
    rule = scene.proxy.hold("PUT", r"/staging/", times=None)
    with scene.run() as process:
        rule.await_reached(90)
        scene.proxy.refuse()
        code, seconds = ended(process)
        assert process.survivors() == []
        err = process.stderr
    drop(scene.proxy, rule)
    scene.proxy.accept()
    entry = scene.entry()
    assert (code, entry.state, entry.stage) == (143, State.STARTED, "analyse"), err
    assert seconds < 30
    assert f"the end of run {entry.run} is not in the ledger: " in err
    assert "the lock of recipes was not given back: " in err
    assert err.splitlines()[-1].startswith("kizami: interrupted by signal 15: nothing was published")
    holder = head(scene.store).holder
    assert holder is not None
    assert holder.run == entry.run
    (told,) = webhook.taken
    assert f"run {entry.run} ended with 143 at analyse: InterruptedRunError" in told.text


def test_sigterm_ends_a_run_whose_store_is_silent(scene: Scene) -> None:
    """A beat hangs already, and so does all that the end of the run would be told."""
    rule = scene.proxy.hold("PUT", r"/staging/", times=None)
    with scene.run() as process:
        rule.await_reached(90)
        silent = silence(scene.proxy)
        silent.await_reached(30)
        code, seconds = ended(process)
        assert process.survivors() == []
        err = process.stderr
    drop(scene.proxy, rule, silent)
    entry = scene.entry()
    assert (code, entry.state) == (143, State.STARTED), err
    assert seconds < 30
    assert f"the end of run {entry.run} is not in the ledger: " in err
    assert "the lock of recipes was not given back: " in err or "its lock is not given back" in err
    assert "kizami: interrupted by signal 15: nothing was published" in err.splitlines()[-1]


def test_sigterm_ends_a_commit_that_the_store_does_not_answer(scene: Scene) -> None:
    """Whether it is published nobody can say then, so 69 and not 143: the next run finds out."""
    rule = scene.proxy.hold_answer("PUT", r"/head\.json$", body=rb'"commit": \{\s*"n": 1,')
    with scene.run() as process:
        rule.await_reached(90)
        silent = silence(scene.proxy)
        code, seconds = ended(process)
        assert process.survivors() == []
        err = process.stderr
    drop(scene.proxy, rule, silent)
    entry = scene.entry()
    assert (code, entry.state, entry.stage) == (69, State.STARTED, "publish"), err
    assert seconds < 30
    last = err.splitlines()[-1]
    assert f"interrupted by signal 15 in the middle of the commit of {entry.run}: it may be in effect" in last
    assert "its entry in the ledger is not closed, its lock is not given back, and expires after 90 s" in last
    assert head(scene.store).commits == 1
