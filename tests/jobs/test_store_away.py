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
        self.name = folder.name
        self.proxy, self.store = store.proxy, f"{store.url}/{self.name}"
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

    def mid_part(self) -> Rule:
        """Keep its finished parts from the store."""
        return self.proxy.hold("PUT", rf"/{self.name}/.*/staging/", times=None)

    def mid_commit(self) -> Rule:
        """Carry its commit out, and do not answer."""
        return self.proxy.hold_answer("PUT", rf"/{self.name}/.*/head\.json$", body=rb'"commit": \{\s*"n": 1,')

    def entry(self) -> RunEntry:
        """Its entry in the ledger, once the store is there again."""
        (entry,) = ledger(self.store)
        return entry


@pytest.fixture
def webhook() -> Iterator[WebhookServer]:
    """A webhook."""
    with WebhookServer() as running:
        yield running


def drop(proxy: FaultyS3, *rules: Rule) -> None:
    """Be there again; what was held is never carried out."""
    for rule in rules:
        rule.release(drop=True)
    proxy.clear()


def ended(*processes: KizamiProcess) -> list[int]:
    """Send SIGTERM: the exit codes, which have to come within 30 s."""
    asked = time.monotonic()
    for process in processes:
        process.interrupt()
    codes = []
    for process in processes:
        codes.append(process.wait(60))
        seconds = time.monotonic() - asked
        print(f"ended {seconds:.1f} s after SIGTERM")
        assert seconds < 30
    for process in processes:
        assert process.survivors() == []
    return codes


def test_sigterm_ends_a_run_whose_store_refuses(faulty_s3: FaultyStore, tmp_path: Path, webhook: WebhookServer) -> None:
    """Soon, since nobody has to be waited for; what could not be recorded is said, the webhook is told, the lock
    expires."""
    scene = Scene(tmp_path / "refuses", faulty_s3, webhook)
    rule = scene.mid_part()
    with scene.run() as process:
        rule.await_reached(90)
        scene.proxy.refuse()
        codes = ended(process)
        err = process.stderr
    drop(scene.proxy, rule)
    scene.proxy.accept()
    entry = scene.entry()
    assert (codes, entry.state, entry.stage) == ([143], State.STARTED, "analyse"), err
    assert f"the end of run {entry.run} is not in the ledger: " in err
    assert "the lock of recipes was not given back: " in err
    assert err.splitlines()[-1].startswith("kizami: interrupted by signal 15: nothing was published")
    holder = head(scene.store).holder
    assert holder is not None
    assert holder.run == entry.run
    (told,) = webhook.taken
    assert f"run {entry.run} ended with 143 at analyse: InterruptedRunError" in told.text


def test_sigterm_ends_runs_whose_store_is_silent(
    faulty_s3: FaultyStore, tmp_path: Path, webhook: WebhookServer
) -> None:
    """One that analyses, and one whose commit is not answered: whether that is published nobody can say, so it ends
    with 69, and the next run finds out."""
    analysing, committing = (Scene(tmp_path / name, faulty_s3, webhook) for name in ("analysing", "committing"))
    rules = [analysing.mid_part(), committing.mid_commit()]
    with analysing.run() as one, committing.run() as other:
        for rule in rules:
            rule.await_reached(120)
        silent = faulty_s3.proxy.hold(".*", ".*", times=None)
        silent.await_reached(60)
        codes = ended(one, other)
        errors = (one.stderr, other.stderr)
    drop(faulty_s3.proxy, *rules, silent)

    entry, last = analysing.entry(), errors[0].splitlines()[-1]
    assert (codes[0], entry.state, entry.stage) == (143, State.STARTED, "analyse"), errors[0]
    assert f"the end of run {entry.run} is not in the ledger: " in errors[0]
    assert "the lock of recipes was not given back: " in errors[0] or "its lock is not given back" in last
    assert "kizami: interrupted by signal 15: nothing was published" in last

    entry, last = committing.entry(), errors[1].splitlines()[-1]
    assert (codes[1], entry.state, entry.stage) == (69, State.STARTED, "publish"), errors[1]
    assert f"interrupted by signal 15 in the middle of the commit of {entry.run}: it may be in effect" in last
    assert "its entry in the ledger is not closed, its lock is not given back, and expires after 90 s" in last
    assert head(committing.store).commits == 1
