"""Running on a cluster that exists already, named by RAY_ADDRESS."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.job import configuration
from support.kitchen import recipes, write_jsonl
from support.kizami_process import KIZAMI

pytestmark = pytest.mark.ray

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
"""Both sides get one of their own: neither depends on a token file that Ray may find in the user's home."""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def cluster() -> Iterator[str]:
    """Address of a cluster of one host, started by `ray start` and ended by the ids of its processes."""
    port = _free_port()
    # A short path: Ray's sockets lie in it, and a socket's path has 107 bytes at the most.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus=2"]
        command += ["--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={folder}"]
        command += ["--include-dashboard=false", "--disable-usage-stats"]
        with subprocess.Popen(
            command, env={**os.environ, **TOKEN}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            tree = [psutil.Process(process.pid)]
            try:
                for _ in range(300):
                    time.sleep(0.2)
                    with socket.socket() as probe:
                        if probe.connect_ex(("127.0.0.1", port)) == 0:
                            break
                time.sleep(3)  # the host joins a moment after the port is open
                yield f"127.0.0.1:{port}"
            finally:
                tree += tree[0].children(recursive=True)
                for member in reversed(tree):
                    if member.is_running():
                        member.kill()


def _run(config: Path, address: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(KIZAMI), "run", "recipes", "--config", str(config), "--json"]
    environment = {**os.environ, **TOKEN, "RAY_ADDRESS": address}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_run_uses_the_cluster_that_ray_address_names(cluster: str, tmp_path: Path) -> None:
    """The run publishes from a cluster that was there before, and that is still there afterwards."""
    source = write_jsonl(tmp_path / "recipes.jsonl", recipes(12))
    config = configuration(tmp_path, store=str(tmp_path / "store"), source=str(source), part_bytes="1KiB")
    done = _run(config, cluster)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"]["state"] == "published"
    assert json.loads(_run(config, cluster).stdout)["run"]["state"] == "unchanged"


def test_a_cluster_that_does_not_answer_exits_69(tmp_path: Path) -> None:
    """Nobody listens at the address: one line that says so, at once."""
    source = write_jsonl(tmp_path / "recipes.jsonl", recipes(3))
    config = configuration(tmp_path, store=str(tmp_path / "store"), source=str(source))
    started = time.monotonic()
    done = _run(config, f"127.0.0.1:{_free_port()}")
    assert done.returncode == 69
    assert "no Ray cluster answers at RAY_ADDRESS" in done.stderr.splitlines()[-1]
    assert time.monotonic() - started < 30
