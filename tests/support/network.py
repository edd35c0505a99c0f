"""Hosts on one machine: network namespaces joined by a bridge in a namespace of its own. Needs root and iproute2.

Nothing of it touches the machine's own network: the links are made inside the namespaces, and nothing leads out.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil

_NAMESPACES: Final = Path("/run/netns")
_NETWORK: Final = "10.77.0"
_CLONE_NEWNET: Final = 0x40000000
SWITCH: Final = "switch"
"""The namespace with the bridge."""
DOOR: Final = f"{_NETWORK}.1"
"""The address of the bridge, which every host reaches."""


@cache
def obstacle() -> str | None:
    """Why there can be no hosts here; None where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the command ip (Debian: iproute2)"
    try:
        with Network(("probe",)):
            return None
    except (RuntimeError, OSError) as error:
        return f"network namespaces cannot be made here: {error}"


class Network:
    """Hosts by name, each with an address. A context manager: in the end every process in its namespaces is ended by
    its id, and they are deleted, whatever happened."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._id = secrets.token_hex(4)
        self.addresses: Mapping[str, str] = {name: f"{_NETWORK}.{place}" for place, name in enumerate(hosts, 2)}

    def __enter__(self) -> Network:
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def namespace(self, name: str) -> str:
        """What the namespace of a host, or ``SWITCH``, is called on this machine."""
        return f"kizami-{self._id}-{name}"

    def on(self, host: str) -> list[str]:
        """What to put before a command to run it on a host, under the host's name. It keeps the process id."""
        entering = ["ip", "netns", "exec", self.namespace(host)]
        return [*entering, "unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host]

    def cut(self, host: str) -> None:
        """Cut a host off: what it sends gets lost, and nobody hears of it."""
        self._ip("-n", self.namespace(SWITCH), "link", "set", host, "down")

    def join(self, host: str) -> None:
        """Connect it again."""
        self._ip("-n", self.namespace(SWITCH), "link", "set", host, "up")

    def processes(self, host: str) -> list[psutil.Process]:
        """Everything that runs on a host."""
        done = subprocess.run(
            ["ip", "netns", "pids", self.namespace(host)], capture_output=True, text=True, check=False
        )
        found = []
        for pid in map(int, done.stdout.split()):
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found

    def end_processes(self, host: str, patience: float = 20.0) -> None:
        """End everything that runs on a host, as when its power fails."""
        ends = time.monotonic() + patience
        while alive := [process for process in self.processes(host) if process.status() != psutil.STATUS_ZOMBIE]:
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            if time.monotonic() > ends:
                raise TimeoutError(f"{host} still has processes {[process.pid for process in alive]}")
            time.sleep(0.05)

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Let this thread make sockets as if it were there. They stay there; the thread comes back."""
        with Path("/proc/thread-self/ns/net").open("rb") as here:
            with (_NAMESPACES / self.namespace(name)).open("rb") as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    def _make(self) -> None:
        switch = self.namespace(SWITCH)
        self._add(switch)
        self._ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        self._ip("-n", switch, "addr", "add", f"{DOOR}/24", "dev", "bridge")
        self._ip("-n", switch, "link", "set", "bridge", "up")
        for host, address in self.addresses.items():
            own = self.namespace(host)
            self._add(own)
            self._ip("-n", switch, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", own)
            self._ip("-n", switch, "link", "set", host, "master", "bridge", "up")
            self._ip("-n", own, "addr", "add", f"{address}/24", "dev", "eth0")
            self._ip("-n", own, "link", "set", "eth0", "up")

    def _add(self, namespace: str) -> None:
        self._ip("netns", "add", namespace)
        self._ip("-n", namespace, "link", "set", "lo", "up")

    def _remove(self) -> None:
        for name in (*self.addresses, SWITCH):
            if (_NAMESPACES / self.namespace(name)).exists():
                self.end_processes(name)
                self._ip("netns", "delete", self.namespace(name))

    def _ip(self, *arguments: str) -> None:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _enter(namespace: int) -> None:
    # os.setns is there from Python 3.12 on.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
