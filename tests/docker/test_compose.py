"""The services of the compose file at work together: its commands and variables, on hosts of their own names.

There is no Docker engine here: network namespaces are the containers, this environment's packages the image.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from kizami.webhook import VARIABLE
from support import network
from support.network import Network
from support.two_hosts import await_condition

pytestmark = [pytest.mark.hosts, pytest.mark.s3, pytest.mark.ray]

PROJECT: Final = Path(__file__).resolve().parents[2]
BIN: Final = Path(sys.executable).parent
SERVICES: Final[dict[str, Any]] = yaml.safe_load((PROJECT / "docker" / "compose.yaml").read_text())["services"]
_NEEDED: Final = {
    "service_completed_successfully": "completed",
    "service_healthy": "healthy",
}


class Compose:
    """``docker compose up``, as far as these services need it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network(list(SERVICES), folder / "network")
        self._places = {
            "/secrets": str(folder / "secrets"),
            "/data": str(folder / "data"),
            "/opt/compose": str(folder / "compose"),
            "/opt/sample": str(PROJECT / "jobs" / "sample"),
            "/tmp/last-exit": str(folder / "last-exit"),  # the container's own
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Compose:
        for name in ("secrets", "data", "compose", "network"):
            (self.folder / name).mkdir()
        for path in (PROJECT / "docker" / "compose").iterdir():
            if path.is_file():
                (self.folder / "compose" / path.name).write_text(self._placed(path.read_text()))
        with ExitStack() as stack:
            stack.callback(self._reap)
            stack.enter_context(self.network)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, name: str) -> None:
        """Start a service, once what it depends on is as it must be."""
        for needed, how in SERVICES[name].get("depends_on", {}).items():
            is_so = self._completed if _NEEDED[how["condition"]] == "completed" else self._healthy
            await_condition(partial(is_so, needed), f"{needed}, for {name}: {self.log(needed)}", 90)
        command = [self._placed(word) for word in SERVICES[name]["command"]]
        if name == "s3":
            command = [str(BIN / "weed"), *command]  # what the image of SeaweedFS begins with
            # Sockets in /tmp are named after these ports; a container has a /tmp of its own.
            port = 20_000 + os.getpid() % 2_500 * 4
            command += [f"-{part}.port.grpc={port + n}" for n, part in enumerate(("master", "volume", "filer", "s3"))]
        if command[:2] == ["ray", "start"] and "--head" in command:
            command.append(f"--temp-dir={self.network.own}")  # a container has a /tmp of its own
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [*self._within(name), *command],
                env=self._environment(name),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self, name: str) -> str:
        """The end of what a service has printed."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """``docker compose exec``."""
        return subprocess.run(
            [*self._within(name), *map(self._placed, command)],
            env=self._environment(name),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _completed(self, name: str) -> bool:
        code = self._running[name].poll()
        assert not code, f"{name} failed: {self.log(name)}"
        return code == 0

    def _healthy(self, name: str) -> bool:
        assert self._running[name].poll() is None, f"{name} ended: {self.log(name)}"
        test = SERVICES[name]["healthcheck"]["test"]
        assert test[0] == "CMD"
        return self.run(name, *test[1:]).returncode == 0

    def _within(self, name: str) -> list[str]:
        folder = self._placed(SERVICES[name].get("working_dir", str(self.folder)))
        return [*self.network.on(name), "env", f"--chdir={folder}"]

    def _environment(self, name: str) -> dict[str, str]:
        given = {variable: _interpolated(value) for variable, value in SERVICES[name].get("environment", {}).items()}
        own = {variable: self._placed(value) for variable, value in given.items()}
        path = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {"PATH": path, "HOME": str(self.folder), "RAY_USAGE_STATS_ENABLED": "0", "LANG": "C.UTF-8", **own}

    def _placed(self, text: str) -> str:
        for place, here in self._places.items():
            text = text.replace(place, here)
        return text

    def _reap(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


def _interpolated(value: str) -> str:
    """A value as compose reads it where nobody has set any of the variables in it."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@pytest.fixture
def compose() -> Iterator[Compose]:
    """All services, up."""
    if obstacle := network.obstacle():
        pytest.skip(obstacle)
    # A short path: Ray's sockets lie below it.
    folder = tempfile.TemporaryDirectory(prefix="kc-", dir="/tmp", ignore_cleanup_errors=True)
    with folder, Compose(Path(folder.name)) as made:
        for name in SERVICES:
            made.start(name)
        yield made


def test_one_command_publishes_the_sample(compose: Compose) -> None:
    """Secrets, bucket, cluster, and the scheduler's first run, whose end its health check tells; without the token
    nobody gets in, and the reader's credentials read and do not write."""
    await_condition(lambda: "next run of recipes in" in compose.log("scheduler"), "the end of the first run", 120)
    assert compose._healthy("scheduler"), compose.log("scheduler")
    history = compose.run("scheduler", "kizami", "history", "recipes")
    assert "published" in history.stdout, compose.log("scheduler") + history.stderr
    assert VARIABLE not in compose.log("scheduler")  # an empty one is none
    assert (
        compose.run("scheduler", "printenv", VARIABLE).stdout
        == compose.run("head", "printenv", VARIABLE).stdout
        == "\n"
    )
    stranger = compose.run("head", "env", "RAY_AUTH_TOKEN=" + "0" * 64, "ray", "health-check", "--address", "head:6379")
    assert stranger.returncode != 0
    as_reader = ("env", "AWS_SHARED_CREDENTIALS_FILE=/secrets/reader.credentials")
    read = "import kizami, pyarrow.dataset as ds; print(ds.dataset(kizami.snapshot_path(%r, 'recipes')).count_rows())"
    assert compose.run("scheduler", *as_reader, "python", "-c", read % "s3://kizami/tokens").stdout.strip() == "211"
    refused = compose.run("scheduler", *as_reader, "kizami", "gc", "recipes")
    assert refused.returncode == 78, refused.stderr
