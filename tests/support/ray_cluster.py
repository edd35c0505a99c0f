"""A Ray cluster of one host with its Jobs API, as an operator starts it, guarded by a token."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil
import requests

from support.faulty_s3 import FaultyS3
from support.s3_server import free_ports

BIN = Path(sys.executable).parent


class Host:
    """A `ray start --block` and all that it has started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._tree: list[psutil.Process] = []

    @property
    def running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """All that it has started, those seen before included."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self._process.pid)
            self._tree = list(dict.fromkeys([*self._tree, own, *own.children(recursive=True)]))
        return self._tree

    def end(self) -> None:
        """End all of its processes, at once and for good: the host is lost."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()


class RayCluster:
    """A head with its dashboard, started by `ray start` and ended by the ids of its processes."""

    def __init__(self, environment: Mapping[str, str], *, cpus: int = 2, patience: float = 120.0) -> None:
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        """What a client needs in its environment."""
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            **environment,
            **self.token,
            # Its jobs find the commands that are installed with it.
            "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)]),
        }
        self._cpus, self._patience = cpus, patience
        self._hosts: list[Host] = []

    def __enter__(self) -> RayCluster:
        port, dashboard, *others = free_ports(4)
        # A short path: Ray's sockets lie in it, and a socket's path has 107 bytes at the most.
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
        command = [str(BIN / "ray"), "start", "--head", "--block", f"--num-cpus={self._cpus}"]
        command += ["--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={self._folder.name}"]
        command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
        command += [f"--dashboard-agent-listen-port={others[0]}", f"--dashboard-agent-grpc-port={others[1]}"]
        command += ["--disable-usage-stats", "--object-store-memory=200000000"]
        self.address, self.url = f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}"
        self._head = Host(
            subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        try:
            self._await_api()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def add_host(self, address: str, cpus: int) -> Host:
        """Another host, which is this one by another address of its own: ``127.0.0.2``."""
        command = [str(BIN / "ray"), "start", "--block", f"--address={self.address}", f"--node-ip-address={address}"]
        command += [f"--num-cpus={cpus}", "--disable-usage-stats", "--object-store-memory=200000000"]
        process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        host = Host(process)
        self._hosts.append(host)
        return host

    def end(self) -> None:
        """End all of its processes, at once and for good."""
        for host in self._hosts:
            host.end()
        self._head.end()
        self._folder.cleanup()

    def _await_api(self) -> None:
        ends = time.monotonic() + self._patience
        headers = {"Authorization": f"Bearer {self.token['RAY_AUTH_TOKEN']}"}
        while time.monotonic() < ends:
            if not self._head.running:
                raise RuntimeError("ray start has ended")
            with suppress(requests.RequestException):
                if requests.get(f"{self.url}/api/jobs/", headers=headers, timeout=10).ok:
                    return
            time.sleep(0.3)
        raise TimeoutError("the cluster's Jobs API does not answer")


@dataclass(frozen=True, slots=True)
class JobsCluster:
    """A cluster, and the proxy between its jobs and the S3 server."""

    ray: RayCluster
    proxy: FaultyS3
