"""A bad night and a good morning, seen from outside: runs by the command line, a monitor, Prometheus and a webhook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kizami import layout
from kizami.stores import open_store
from kizami.webhook import VARIABLE
from kizami_jobs.cli import main
from support.job import configuration, kizami
from support.kitchen import jsonl, recipes, write_jsonl
from support.store_contents import ledger
from support.webhook_server import WebhookServer

pytestmark = pytest.mark.ray


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    """A webhook that the environment names."""
    with WebhookServer() as running:
        monkeypatch.setenv(VARIABLE, running.url)
        yield running


def figures(folder: Path) -> dict[str, float]:
    """The metrics of recipes; of the states the one that is 1."""
    families = text_string_to_metric_families((folder / "kizami_recipes.prom").read_text("utf-8"))
    samples = [sample for family in families for sample in family.samples]
    return {
        each.name + each.labels.get("state", ""): each.value
        for each in samples
        if each.value or "state" not in each.labels
    }


def store_of(request: pytest.FixtureRequest, kind: str) -> str:
    """Where the runs publish."""
    folder: Path = request.getfixturevalue("tmp_path")
    return str(folder / "store") if kind == "folder" else str(request.getfixturevalue("s3_url"))


@pytest.mark.parametrize("kind", ["folder", pytest.param("s3", marks=pytest.mark.s3)])
def test_a_bad_night_is_known_from_outside(
    local_ray: int,
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    server: WebhookServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The run fails with a cut source, the monitor says so and what to type, the webhook is told once it answers; after
    the command was typed all is well again, everywhere."""
    source = tmp_path / "source" / "recipes.jsonl"
    write_jsonl(source, recipes(30))
    source.write_bytes(jsonl(recipes(30))[:-20])
    folder = tmp_path / "textfiles"
    folder.mkdir()
    config = configuration(
        tmp_path,
        store=store_of(request, kind),
        source="./source",
        head=f'[metrics]\ntextfile_directory = "{folder}"\n',
    )
    if kind == "folder":
        (tmp_path / "store").mkdir()

    code, told, _ = kizami(capsys, "check", "recipes", "--config", config)
    assert (code, told["outcome"]) == (1, "not_started")
    server.fail(503)
    code, _, err = kizami(capsys, "run", "recipes", "--config", config)
    assert code == 65
    assert f"the webhook of {VARIABLE} was not told: HTTP 503" in err
    assert WebhookServer.SECRET not in err
    assert figures(folder)["kizami_last_run_exit_code"] == 65
    assert figures(folder)["kizami_last_run_statefailed"] == 1

    store = store_of(request, kind)
    (failed,) = ledger(store)
    assert main(["check", "recipes", "--by", "00:00", "--config", str(config)]) == 1
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"recipes {failed.date}: failed: run {failed.run} ended with 65 at read: DataError: ")
    assert line.endswith("; type: kizami run recipes")

    write_jsonl(source, recipes(30))
    assert main([*line.rpartition("; type: kizami ")[2].split(), "--config", str(config)]) == 0
    code, told, _ = kizami(capsys, "check", "recipes", "--by", "00:00", "--config", config)
    assert (code, told["outcome"], told["command"]) == (0, "published", None)
    succeeded, _ = ledger(store)
    texts = [each.text for each in server.taken]
    assert [text.partition(f"{failed.date}: ")[2].partition(":")[0] for text in texts] == [
        "not started",
        "failed",
        "recovered",
    ]
    assert failed.run in texts[1]
    assert succeeded.run in texts[2]
    assert len({each.event for each in server.deliveries}) == 3
    assert len(server.deliveries) == 4  # one of them twice

    seen = figures(folder)
    assert seen["kizami_last_run_statepublished"] == 1
    assert seen["kizami_rows"] == succeeded.counts.rows > 0
    assert seen["kizami_worker_cpu_seconds"] == succeeded.worker_cpu_seconds
    assert succeeded.worker_cpu_seconds is not None
    assert 0 < succeeded.worker_cpu_seconds < 60
    assert seen["kizami_last_success_timestamp_seconds"] >= seen["kizami_last_failure_timestamp_seconds"]
    words = {word for document in recipes(30) for word in document["steps"]}
    assert not any(word in text for word in words for text in texts)


@pytest.mark.s3
def test_a_store_that_does_not_answer_is_no_lateness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check that cannot know ends with 69 and says so."""
    config = configuration(tmp_path, store=s3_url, source="./source")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, told, _ = kizami(capsys, "check", "recipes", "--config", config)
    assert (code, told["error"]) == (69, "UnavailableError")


def test_a_check_needs_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is a mistake in the configuration, as for every verb that reads."""
    config = configuration(tmp_path, store="./store", source="./source")
    code, told, _ = kizami(capsys, "check", "recipes", "--config", config)
    assert (code, told["error"]) == (78, "ConfigurationError")


def test_a_held_gate_is_told_with_its_snapshot(
    local_ray: int, tmp_path: Path, server: WebhookServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command is to look at it; publishing it by force is the recovery."""
    source = tmp_path / "source" / "recipes.jsonl"
    write_jsonl(source, recipes(200))
    config = configuration(
        tmp_path, store="./store", source="./source", more='[corpora.recipes.gates]\nrows_lost = "20%"\n'
    )
    assert main(["run", "recipes", "--date", "2026-11-26", "--as-of-now", "--config", str(config)]) == 0
    write_jsonl(source, recipes(20))
    assert main(["run", "recipes", "--config", str(config)]) == 65
    store = open_store(str(tmp_path / "store"))
    held = ledger(store.url)[0]
    assert main(["check", "recipes", "--config", str(config)]) == 1
    line = capsys.readouterr().out.splitlines()[-1]
    assert f": failed, held by a gate: run {held.run} made {held.snapshot}: rows_lost 90 %" in line
    assert line.endswith(f"; type: kizami diff recipes latest {held.snapshot}")
    assert main(["publish", "recipes", str(held.snapshot), "--force", "--config", str(config)]) == 0
    assert main(["check", "recipes", "--config", str(config)]) == 0
    assert [each.text.split(": ")[2] for each in server.taken] == ["failed, held by a gate", "recovered"]
    assert not list(store.list(layout.pending_notices_prefix("recipes")))
