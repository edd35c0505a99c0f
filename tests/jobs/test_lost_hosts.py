"""A host of the cluster is lost in the middle of a run, with its workers and all that was in its memory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kizami.ledger import State
from kizami.stores import open_store
from support.faulty_s3 import FaultyS3
from support.job import configuration
from support.kitchen import expected_texts, jsonl, recipes
from support.kizami_process import KizamiProcess
from support.ray_cluster import RayCluster
from support.s3_server import S3Server
from support.store_contents import ledger, published

pytestmark = [pytest.mark.s3, pytest.mark.ray]

DAY = "2026-11-23"


def test_what_a_lost_host_had_is_made_again_by_another(s3_server: S3Server, s3_url: str, tmp_path: Path) -> None:
    """The parts that were under way are tried again after a while, the texts that were in its memory read again; the
    snapshot is whole, and the ledger has it all."""
    open_store(f"{s3_url}/source").put(f"{DAY}/recipes.jsonl", jsonl(recipes(3000)))
    config = configuration(tmp_path, store=f"{s3_url}/store", source=f"{s3_url}/source/{{date}}", part_bytes="200KiB")
    with FaultyS3(s3_server.port) as proxy:
        environment = {**s3_server.environment, "AWS_ENDPOINT_URL": proxy.endpoint}
        # The head has no room for tasks: they all go to the other host.
        with RayCluster(environment, cpus=0) as cluster:
            lost = cluster.add_host("127.0.0.2", cpus=2)
            rule = proxy.hold("PUT", r"/staging/", times=None)
            variables = {**cluster.token, "RAY_ADDRESS": cluster.address, "PATH": os.environ.get("PATH", os.defpath)}
            arguments = ["run", "recipes", "--date", DAY, "--config", str(config), "--json"]
            with KizamiProcess(arguments, tmp_path, variables) as process:
                rule.await_reached(120)
                lost.end()
                rule.release(drop=True)
                proxy.clear()
                cluster.add_host("127.0.0.3", cpus=2)
                assert process.wait(200) == 0, process.stderr
                answer = json.loads(process.stdout)
    assert published(f"{s3_url}/store").texts() == expected_texts(recipes(3000))
    (entry,) = ledger(f"{s3_url}/store")
    assert entry.state is State.PUBLISHED
    parts = [each for each in entry.failed_attempts if each.part is not None]
    assert parts
    assert all(each.wait_seconds > 0 for each in parts)
    assert any("Ray" in each.what for each in entry.failed_attempts if each.part is None), answer["run"]
