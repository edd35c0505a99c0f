"""``kizami submit`` on a real cluster, through its Jobs API, with token authentication on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from kizami import layout
from kizami.ledger import RunEntry, State
from kizami.stores import open_store
from kizami.webhook import VARIABLE
from kizami_jobs.cli import main
from support.faulty_s3 import Rule
from support.job import configuration
from support.kitchen import expected_texts, jsonl, recipes
from support.kizami_process import KIZAMI, KizamiProcess
from support.ray_cluster import JobsCluster, RayCluster
from support.s3_server import S3Server, free_ports
from support.store_contents import head, ledger, published
from support.webhook_server import WebhookServer

pytestmark = [pytest.mark.s3, pytest.mark.ray]

DAY = "2026-11-23"
LOCK = '[lock]\nbeat = "1s"\nexpiry = "4s"\n'


class Submitter:
    """A configuration on a host that is none of the cluster's, and the commands given there."""

    def __init__(self, folder: Path, s3_url: str, cluster: JobsCluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.store = f"{s3_url}/store"
        self.source = open_store(f"{s3_url}/source")
        self.source.put(f"{DAY}/recipes.jsonl", jsonl(recipes(12)))
        self.path = configuration(
            folder, store=self.store, source=f"{s3_url}/source/{{date}}", part_bytes="1KiB", head=LOCK
        )
        self.environment = {**cluster.ray.token, "RAY_ADDRESS": ""}

    def arguments(self, *more: str, day: str = DAY) -> list[str]:
        """Of the command."""
        named = ["--address", self.cluster.ray.url, "--config", str(self.path)]
        return ["submit", "recipes", "--date", day, *named, *more]

    def start(self, *more: str) -> KizamiProcess:
        """The command as a process that can be sent signals."""
        return KizamiProcess(self.arguments(*more), self.folder, self.environment)

    def __call__(self, *more: str, day: str = DAY) -> tuple[int, Any, str]:
        """The command with --json: its exit code, its answer, what stands on stderr."""
        with KizamiProcess(self.arguments(*more, "--json", day=day), self.folder, self.environment) as process:
            code = process.wait()
            return code, json.loads(process.stdout), process.stderr

    def entry(self) -> RunEntry:
        """The newest entry of the ledger."""
        return ledger(self.store)[0]

    def job(self, run: str) -> dict[str, Any]:
        """What Ray shows of a job."""
        headers = {"Authorization": f"Bearer {self.cluster.ray.token['RAY_AUTH_TOKEN']}"}
        answer = requests.get(f"{self.cluster.ray.url}/api/jobs/{run}", headers=headers, timeout=30)
        shown: dict[str, Any] = answer.json()
        return shown

    def log(self, run: str) -> str:
        """What a job has printed."""
        headers = {"Authorization": f"Bearer {self.cluster.ray.token['RAY_AUTH_TOKEN']}"}
        answer = requests.get(f"{self.cluster.ray.url}/api/jobs/{run}/logs", headers=headers, timeout=30)
        return str(answer.json()["logs"])

    def stop(self, run: str) -> None:
        """`ray job stop`, as the message says."""
        headers = {"Authorization": f"Bearer {self.cluster.ray.token['RAY_AUTH_TOKEN']}"}
        requests.post(f"{self.cluster.ray.url}/api/jobs/{run}/stop", headers=headers, timeout=30).raise_for_status()

    def left(self) -> list[str]:
        """Submissions that are still in the store."""
        return [info.key for info in open_store(self.store).list(layout.submissions_prefix("recipes"))]


@pytest.fixture
def submitter(jobs_cluster: JobsCluster, s3_url: str, tmp_path: Path) -> Iterator[Submitter]:
    """A submitter with a store of its own; the cluster's proxy is harmless again afterwards."""
    yield Submitter(tmp_path, s3_url, jobs_cluster)
    jobs_cluster.proxy.clear()


def test_a_submitted_run_is_waited_for(submitter: Submitter) -> None:
    """It publishes what `kizami run` would, its log comes to stderr, its entry to stdout; nothing is uploaded to the
    cluster, and nothing is left of the submission."""
    code, answer, err = submitter()
    assert code == 0, err
    entry = submitter.entry()
    assert answer["run"]["run"] == entry.run
    assert (entry.state, entry.verb, entry.date) == (State.PUBLISHED, "run", DAY)
    found = published(submitter.store)
    assert found.texts() == expected_texts(recipes(12))
    assert answer["path"] == found.path
    assert f"run {entry.run}: corpus recipes, business date {DAY}" in err
    assert f"published {DAY}: 12 documents" in err
    job = submitter.job(entry.run)
    assert (job["submission_id"], job["status"], job["runtime_env"] or {}) == (entry.run, "SUCCEEDED", {})
    assert submitter.left() == []


def test_reprocess_is_submitted_like_a_run_and_its_ids_stay_in_the_store(submitter: Submitter) -> None:
    """The ids come to the run, but not to those who see the cluster's list of jobs. Logs for programs are JSON from end
    to end, the job's and Ray's included."""
    assert submitter()[0] == 0
    doc_id = recipes(12)[3]["recipe_id"]
    code, answer, err = submitter("--log", "json", "--id", doc_id)
    assert code == 0, err
    events = [json.loads(line) for line in err.splitlines()]
    assert [each["event"] for each in events if each.get("event") in {"start", "end"}] == ["start", "end"]
    run = answer["run"]
    assert (run["verb"], run["state"]) == ("reprocess", "published")
    assert 0 < run["counts"]["texts_analysed"] < run["counts"]["texts"]
    assert doc_id not in json.dumps(submitter.job(run["run"]), ensure_ascii=False)


def test_without_waiting_the_runs_id_is_the_answer(submitter: Submitter) -> None:
    """It comes at once; the run goes on, and made once more by the same command it only tells how it ended."""
    rule = submitter.cluster.proxy.hold("GET", rf"source/{DAY}/recipes")
    code, answer, err = submitter("--no-wait")
    assert code == 0, err
    run = answer["submitted"]["run"]
    assert answer["submitted"]["date"] == DAY
    rule.await_reached(60)
    command = submitter.job(run)["entrypoint"].split()
    assert command[:3] == ["kizami", "run", "recipes"]
    again = _run_on_this_host(command)
    assert again.returncode == 75
    assert f"run {run} of recipes has begun already" in again.stderr
    rule.release()
    _await(lambda: submitter.job(run)["status"] == "SUCCEEDED", "the job to end")
    again = _run_on_this_host(command)
    assert (again.returncode, again.stderr) == (0, "")
    assert f"run {run} has ended already (published)" in again.stdout
    assert [each.run for each in ledger(submitter.store)] == [run]
    assert head(submitter.store).commits == 1


def test_the_exit_code_is_the_runs_own(submitter: Submitter) -> None:
    """65 for a source that is cut off, 69 for one that is not there, whatever Ray makes of them."""
    submitter.source.put("2026-11-24/recipes.jsonl", jsonl(recipes(12))[:-20])
    code, answer, err = submitter(day="2026-11-24")
    assert code == 65, err
    assert answer["error"] == "SubmittedRunError"
    assert "is truncated" in answer["message"]
    assert answer["run"]["state"] == "failed"
    assert err.splitlines()[-1] == f"kizami: {answer['message']}"
    code, answer, err = submitter(day="2026-11-25")
    assert (code, "no file matches" in answer["message"]) == (69, True), err
    assert submitter.job(answer["run"]["run"])["status"] == "FAILED"


def test_a_dump_that_comes_late_is_waited_for_on_the_cluster(submitter: Submitter) -> None:
    """`--wait` is for the source, and goes with the submission: nobody has to stay for it."""
    code, answer, err = submitter("--wait", "10m", "--no-wait", day="2026-11-24")
    assert code == 0, err
    run = answer["submitted"]["run"]
    _await(lambda: "not there yet; looking again in 5 s" in submitter.log(run), "the job to look for its source")
    assert ledger(submitter.store) == []
    submitter.source.put("2026-11-24/recipes.jsonl", jsonl(recipes(12)))
    _await(lambda: submitter.job(run)["status"] == "SUCCEEDED", "the job to end")
    entry = submitter.entry()
    assert (entry.run, entry.state, entry.date) == (run, State.PUBLISHED, "2026-11-24")


def test_the_webhook_is_told_of_submitted_runs(submitter: Submitter) -> None:
    """Of the failure and of the recovery, once each, though only the host that submits knows its URL; where that host
    does not wait, the next check tells."""
    with WebhookServer() as webhook:
        submitter.environment |= {VARIABLE: webhook.url}
        submitter.source.put("2026-11-24/recipes.jsonl", jsonl(recipes(12))[:-20])
        code, answer, err = submitter(day="2026-11-24")
        assert code == 65, err
        failed = answer["run"]["run"]
        (told,) = webhook.taken
        assert f"failed: run {failed} ended with 65 at read: DataError: " in told.text
        assert told.text.endswith("; type: kizami run recipes --date 2026-11-24")
        assert told.event.startswith(f"recipes.{failed}.failed.")
        submitter.source.put("2026-11-24/recipes.jsonl", jsonl(recipes(12)))
        code, answer, err = submitter("--no-wait", day="2026-11-24")
        assert code == 0, err
        run = answer["submitted"]["run"]
        _await(lambda: submitter.job(run)["status"] == "SUCCEEDED", "the job to end")
        assert len(webhook.taken) == 1
        check = ["check", "recipes", "--date", "2026-11-24", "--config", str(submitter.path)]
        with KizamiProcess(check, submitter.folder, submitter.environment) as process:
            assert process.wait() == 0, process.stderr
        _, told = webhook.taken
        assert f"recovered: run {run} published" in told.text
        assert WebhookServer.SECRET not in err
        assert len(webhook.deliveries) == 2


def test_stopping_a_job_ends_its_run_in_order(submitter: Submitter) -> None:
    """`ray job stop` is SIGTERM: the ledger has the interruption, the lock is free, the one who waits gets 143."""
    rule = submitter.cluster.proxy.hold("PUT", r"/staging/", times=None)
    with submitter.start() as process:
        rule.await_reached(60)
        run = submitter.entry().run
        asked = time.monotonic()
        submitter.stop(run)
        assert process.wait(30) == 143, process.stderr
        assert time.monotonic() - asked < 30
        assert f"run {run} ended with exit 143: InterruptedRunError" in process.stderr.splitlines()[-1]
    rule.release(drop=True)
    entry = submitter.entry()
    assert (entry.state, entry.exit_code) == (State.INTERRUPTED, 143)
    assert head(submitter.store).holder is None


def test_a_run_that_is_killed_is_explained_in_one_short_line(submitter: Submitter) -> None:
    """Exit 69, and what the ledger says; the log, which was shown as it came, is not in the message again."""
    rule = submitter.cluster.proxy.hold("PUT", r"/staging/", times=None)
    with submitter.start() as process:
        rule.await_reached(60)
        os.kill(int((submitter.entry().process or "").split(":")[1]), signal.SIGKILL)
        _drop(rule)
        assert process.wait(60) == 69, process.stderr
        last = process.stderr.splitlines()[-1]
    run = submitter.entry().run
    assert last.startswith(f"kizami: run {run} is started in the ledger (at analyse) and has not closed its entry; ")
    assert "Ray says: Job entrypoint command failed with exit code 137. Dead, it loses its lock after 4 s" in last
    assert "read 12 documents" in process.stderr
    assert "read 12 documents" not in last


def test_who_stops_waiting_does_not_stop_the_run(submitter: Submitter) -> None:
    """SIGINT ends the command with 130, says that the run goes on and how to stop it; the run publishes."""
    rule = submitter.cluster.proxy.hold("GET", rf"source/{DAY}/recipes")
    with submitter.start() as process:
        rule.await_reached(60)
        run = submitter.entry().run
        process.tree()[0].send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        last = process.stderr.splitlines()[-1]
    assert f"run {run} goes on on the cluster" in last
    assert f"`ray job stop --address {submitter.cluster.ray.url} {run}`" in last
    rule.release()
    _await(lambda: submitter.entry().state is State.PUBLISHED, "the run to publish")


@pytest.mark.parametrize("token", ["", "0" * 64], ids=["no token", "a wrong token"])
def test_a_cluster_that_refuses_the_token_exits_78(submitter: Submitter, token: str) -> None:
    """One line that names the variables; nothing is left in the store."""
    submitter.environment = {"RAY_AUTH_MODE": "token" if token else "disabled", "RAY_AUTH_TOKEN": token}
    code, answer, _ = submitter()
    assert code == 78
    assert "refuses the token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in answer["message"]
    assert submitter.left() == []


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_cluster_that_is_not_there_exits_69(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """At once, whatever form the address has, and before anything is written."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = configuration(tmp_path, store="./store", source="./recipes.jsonl")
    address = form.format(free_ports(1)[0])
    started = time.monotonic()
    assert main(["submit", "recipes", "--address", address, "--config", str(config)]) == 69
    assert address in capsys.readouterr().err
    assert time.monotonic() - started < 30
    assert not (tmp_path / "store").exists()


def test_when_the_head_is_gone_the_ledger_is_asked(s3_server: S3Server, s3_url: str, tmp_path: Path) -> None:
    """Exit 69 once a dead run has lost its lock; the message has the ledger's word and what to do."""
    from support.faulty_s3 import FaultyS3  # noqa: PLC0415

    with FaultyS3(s3_server.port) as proxy:
        environment = {**s3_server.environment, "AWS_ENDPOINT_URL": proxy.endpoint}
        with RayCluster(environment) as cluster:
            submitter = Submitter(tmp_path, s3_url, JobsCluster(cluster, proxy))
            rule = proxy.hold("PUT", r"/staging/", times=None)
            with submitter.start() as process:
                rule.await_reached(60)
                cluster.end()
                assert process.wait(60) == 69, process.stderr
                *_, said, last = process.stderr.splitlines()
            _drop(rule)
    assert "the ledger in the store is looked at instead" in said
    assert f"run {submitter.entry().run} is started in the ledger (at analyse)" in last
    assert "Ray does not answer" in last


def _drop(rule: Rule) -> None:
    rule.release(drop=True)


def _run_on_this_host(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(KIZAMI), *command[1:]], capture_output=True, text=True, timeout=90, check=False
    )


def _await(condition: Callable[[], bool], what: str, patience: float = 60.0) -> None:
    ends = time.monotonic() + patience
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {patience:.0f} s for {what}")
        time.sleep(0.1)
