"""A run on a cluster that does not let it in: a matter of configuration, told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kizami.ledger import State
from kizami_jobs.cli import main
from support.job import configuration
from support.kitchen import recipes, write_jsonl
from support.kizami_process import KizamiProcess
from support.ray_cluster import JobsCluster
from support.s3_server import free_ports
from support.store_contents import ledger

REFUSED = "refuses the token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
TOKENS = {
    "a wrong one": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
    "none": {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""},
    "forgotten": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": ""},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A corpus of three recipes."""
    source = write_jsonl(tmp_path / "recipes.jsonl", recipes(3))
    return configuration(tmp_path, store=str(tmp_path / "store"), source=str(source))


@pytest.mark.ray
@pytest.mark.s3  # the cluster is that of the tests of `submit`
@pytest.mark.parametrize("token", TOKENS)
def test_a_run_that_the_cluster_refuses_exits_78(
    jobs_cluster: JobsCluster, config: Path, tmp_path: Path, token: str
) -> None:
    """Ray itself says after 20 s that nobody answers, or ends the process with a dump of its stack."""
    environment = {**TOKENS[token], "HOME": str(tmp_path), "RAY_ADDRESS": jobs_cluster.ray.address}
    with KizamiProcess(["run", "recipes", "--config", config, "--json"], tmp_path, environment) as process:
        assert process.wait() == 78, process.stderr
        assert REFUSED in json.loads(process.stdout)["message"]
    (entry,) = ledger(str(tmp_path / "store"))
    assert (entry.state, entry.stage, entry.exit_code) == (State.FAILED, "ray", 78)
    submit = ["submit", "recipes", "--config", str(config), "--address", jobs_cluster.ray.address]
    with KizamiProcess(submit, tmp_path, environment) as process:
        assert process.wait() == 78, process.stderr
        assert REFUSED in process.stderr.splitlines()[-1]


def test_the_url_of_a_dashboard_is_no_cluster_to_run_on(config: Path, tmp_path: Path) -> None:
    """`kizami submit` takes one from RAY_ADDRESS, and who then types `kizami run` is told the difference."""
    environment = {"RAY_ADDRESS": "http://kim:hunter2@head:8265"}
    with KizamiProcess(["plan", "recipes", "--config", config], tmp_path, environment) as process:
        assert process.wait() == 78, process.stderr
        told = process.stderr.splitlines()[-1]
    said = "kizami: RAY_ADDRESS=http://head:8265 is the URL of a dashboard, to which `kizami submit` sends a run"
    assert told.startswith(said)


def test_credentials_in_an_address_are_not_repeated(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As of a dashboard behind a proxy: neither by us nor in what Ray's client says."""
    address = f"http://kim:hunter2@127.0.0.1:{free_ports(1)[0]}"
    assert main(["submit", "recipes", "--address", address, "--config", str(config)]) == 69
    printed = capsys.readouterr().err
    assert printed.startswith("kizami: the Jobs API of the Ray cluster at http://127.0.0.1:")
    assert "hunter2" not in printed
