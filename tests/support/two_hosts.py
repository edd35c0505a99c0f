"""A Ray cluster of two hosts, each a network namespace, that reach an S3 server by a door which fails on demand.

The S3 server itself is on the machine's loopback, where a test reads what stands in it whatever becomes of the hosts.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil

from support.faulty_s3 import FaultyS3
from support.kizami_process import KizamiProcess
from support.network import DOOR, SWITCH, Network
from support.s3_server import S3Server

HEAD, WORKER = "head", "worker"
"""The two hosts. Ray's control service and the Jobs API are on the first; each analyses."""
CPUS: Final = 2
"""Of each host: a driver needs none."""
_PORT: Final = 6379
_JOBS_PORT: Final = 8265
_START_SECONDS: Final = 60.0
_RAY: Final = Path(sys.executable).parent / "ray"
_HEALTH: Final = {
    # A host that does not answer counts as dead after about 3 s, where Ray's own patience is half a minute.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
}


class TwoHosts:
    """The running cluster. ``proxy`` is its door to the S3 server."""

    def __init__(self, s3: S3Server) -> None:
        self.s3 = s3
        self._stack = ExitStack()
        # A short path: Ray's sockets lie in it, and a socket's path has 107 bytes at the most.
        folder = tempfile.TemporaryDirectory(prefix="kz-", ignore_cleanup_errors=True, dir="/tmp")
        self._folder = Path(self._stack.enter_context(folder))
        # Ray notes in its folder which host it is on.
        self.network = Network((HEAD, WORKER), self._folder)
        self.proxy = FaultyS3(s3.port, DOOR, lambda: self.network.within(SWITCH))
        self._token = secrets.token_hex(32)
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> TwoHosts:
        with self._stack as stack:
            stack.callback(self._reap)
            stack.enter_context(self.network)
            stack.enter_context(self.proxy)
            self._start(HEAD)
            self._start(WORKER)
            self.await_hosts(2)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def jobs_address(self) -> str:
        """URL of the Jobs API, as the hosts reach it."""
        return f"http://{self.network.addresses[HEAD]}:{_JOBS_PORT}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process on a host needs to reach the cluster and the store."""
        return {
            **self.s3.environment,
            "AWS_ENDPOINT_URL": self.proxy.endpoint,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PATH": f"{_RAY.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",  # of the jobs: they call kizami
        }

    @property
    def ray_address(self) -> str:
        """What RAY_ADDRESS is to be."""
        return f"{self.network.addresses[HEAD]}:{_PORT}"

    def kizami(self, host: str, *arguments: str | Path, ray: bool = True) -> KizamiProcess:
        """A ``kizami`` command on a host; ``ray`` gives it RAY_ADDRESS."""
        folder = Path(tempfile.mkdtemp(prefix="command-", dir=self._folder))
        environment = self.environment | ({"RAY_ADDRESS": self.ray_address} if ray else {})
        return KizamiProcess(arguments, folder, environment, prefix=self.network.on(host))

    def workers(self, host: str, task: str) -> list[psutil.Process]:
        """The Ray workers of a host that execute a task of this name now."""
        found = []
        for process in self.network.processes(host):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if process.cmdline()[:1] == [f"ray::{task}"]:
                    found.append(process)
        return found

    def await_workers(self, host: str, task: str) -> list[psutil.Process]:
        """The same, as soon as there is one."""
        await_condition(lambda: bool(self.workers(host, task)), f"a {task} on {host}", 60)
        return self.workers(host, task)

    def fell(self, host: str) -> None:
        """End everything that runs on a host, as when its power fails."""
        self.network.switch_off(host)
        self._reap_host(host)

    def restore(self) -> None:
        """Let the door be one that works, and bring the second host back if it is gone or Ray has given it up."""
        self.proxy.clear()
        self.network.join(WORKER)
        if self.network.is_on(WORKER) and self._hosts_alive() == 2:
            return
        self.fell(WORKER)
        self.await_hosts(1)
        self.network.switch_on(WORKER)
        self._start(WORKER)
        self.await_hosts(2)

    def await_hosts(self, count: int) -> None:
        """Wait until Ray counts so many hosts."""
        await_condition(lambda: self._hosts_alive() == count, f"{count} hosts of Ray", _START_SECONDS)

    def _start(self, host: str) -> None:
        address = self.network.addresses[host]
        command: list[str | Path] = [_RAY, "start", "--block", f"--num-cpus={CPUS}", f"--node-ip-address={address}"]
        command += ["--object-store-memory=200000000", "--disable-usage-stats"]
        if host == HEAD:
            command += ["--head", f"--port={_PORT}", f"--temp-dir={self.network.own}", "--include-dashboard=true"]
            command += [f"--dashboard-host={address}", f"--dashboard-port={_JOBS_PORT}"]
        else:
            command += [f"--address={self.ray_address}"]
        with (self._folder / f"{host}.log").open("ab") as log:
            self._nodes[host] = subprocess.Popen(
                [*self.network.on(host), *command],
                env={**os.environ, **self.environment, **_HEALTH},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _hosts_alive(self) -> int:
        """How many hosts Ray counts; 0 where it does not answer."""
        done = self.run(HEAD, [_RAY, "list", "nodes", "--format=json", "--filter=state=ALIVE"])
        return done.stdout.count('"node_id"') if done.returncode == 0 else 0

    def run(self, host: str, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a command on a host to its end."""
        return subprocess.run(
            [*self.network.on(host), *map(str, command)],
            env={**os.environ, **self.environment, "RAY_ADDRESS": self.ray_address},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _reap(self) -> None:
        for host in list(self._nodes):
            self._reap_host(host)

    def _reap_host(self, host: str) -> None:
        if node := self._nodes.pop(host, None):
            node.kill()
            node.wait()


def await_condition(condition: Callable[[], bool], what: str, patience: float = 20.0) -> None:
    """Wait until a condition holds. Raises TimeoutError naming it."""
    ends = time.monotonic() + patience
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {patience:.0f} s for {what}")
        time.sleep(0.05)
