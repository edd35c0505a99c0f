"""Hosts on one machine: network namespaces joined by a bridge in a namespace of its own. Needs root and iproute2.

A host has its name, which the others know, its address, its processes, and one folder that no other host sees; the rest
of the file system is shared. Nothing of it touches the machine's own network: the links are inside the namespaces, and
none leads out.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
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
_INIT: Final = """
import signal, socket, subprocess, sys
name, hosts, own, seen = sys.argv[1:]
socket.sethostname(name)
subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
subprocess.run(["mount", "--bind", own, seen], check=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""
"""The first process of a host: with it the kernel ends all others. It leaves no zombies."""
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
        with tempfile.TemporaryDirectory() as folder, Network(("probe",), Path(folder)) as network:
            done = subprocess.run([*network.on("probe"), "true"], capture_output=True, text=True, check=False)
            return f"a command cannot be run in a namespace: {done.stderr}" if done.returncode else None
    except (RuntimeError, OSError) as error:
        return f"network namespaces cannot be made here: {error}"


class Network:
    """Hosts by name, each with an address. A context manager: in the end every process on a host is ended, and the
    namespaces are deleted, whatever happened."""

    def __init__(self, hosts: Sequence[str], folder: Path) -> None:
        """``folder`` is an empty one; ``folder/own`` is what each host has for itself."""
        self._folder = folder
        self._id = secrets.token_hex(4)
        self._inits: dict[str, subprocess.Popen[bytes]] = {}
        self.addresses: Mapping[str, str] = {name: f"{_NETWORK}.{place}" for place, name in enumerate(hosts, 2)}

    def __enter__(self) -> Network:
        try:
            self._make()
            for host in self.addresses:
                self.switch_on(host)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def own(self) -> Path:
        """Where each host has a folder of its own."""
        return self._folder / "own"

    def on(self, host: str) -> list[str]:
        """What to put before a command to run it on a host. The command is the one child of the process started."""
        first = psutil.Process(self._inits[host].pid).children()[0].pid
        return ["nsenter", f"--target={first}", "--net", "--uts", "--mount", "--pid"]

    def switch_on(self, host: str) -> None:
        """Start a host, with nothing on it."""
        command = ["ip", "netns", "exec", self._namespace(host), "unshare", "--uts", "--mount-proc", "--pid", "--fork"]
        command += [
            sys.executable,
            "-c",
            _INIT,
            host,
            *map(str, (self._folder / "hosts", self._folder / host, self.own)),
        ]
        errors = self._folder / f"{host}.errors"
        with errors.open("wb") as log:
            init = self._inits[host] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert init.stdout is not None
        if init.stdout.readline() != b"up\n":
            raise RuntimeError(f"the host {host} did not start: {errors.read_text()}")

    def switch_off(self, host: str) -> None:
        """End everything that runs on a host, as when its power fails."""
        init = self._inits.pop(host, None)
        if init is None:
            return
        with suppress(psutil.NoSuchProcess):
            for first in psutil.Process(init.pid).children():
                first.kill()
        init.wait()
        if init.stdout is not None:
            init.stdout.close()

    def is_on(self, host: str) -> bool:
        """Whether it is switched on."""
        return host in self._inits

    def cut(self, host: str) -> None:
        """Cut a host off: what it sends gets lost, and nobody hears of it."""
        self._ip("-n", self._namespace(SWITCH), "link", "set", host, "down")

    def join(self, host: str) -> None:
        """Connect it again."""
        self._ip("-n", self._namespace(SWITCH), "link", "set", host, "up")

    def processes(self, host: str) -> list[psutil.Process]:
        """Everything that runs on a host."""
        command = ["ip", "netns", "pids", self._namespace(host)]
        found = []
        for pid in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split():
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(int(pid)))
        return found

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Let this thread make sockets as if it were there. They stay there; the thread comes back."""
        with Path("/proc/thread-self/ns/net").open("rb") as here:
            with (_NAMESPACES / self._namespace(name)).open("rb") as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    def _namespace(self, name: str) -> str:
        return f"kizami-{self._id}-{name}"

    def _make(self) -> None:
        switch = self._namespace(SWITCH)
        self._add(switch)
        self._ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        self._ip("-n", switch, "addr", "add", f"{DOOR}/24", "dev", "bridge")
        self._ip("-n", switch, "link", "set", "bridge", "up")
        self.own.mkdir()
        known = {"localhost": "127.0.0.1", **self.addresses}
        (self._folder / "hosts").write_text("".join(f"{address} {name}\n" for name, address in known.items()))
        for host, address in self.addresses.items():
            own = self._namespace(host)
            self._add(own)
            (self._folder / host).mkdir()
            self._ip("-n", switch, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", own)
            self._ip("-n", switch, "link", "set", host, "master", "bridge", "up")
            self._ip("-n", own, "addr", "add", f"{address}/24", "dev", "eth0")
            self._ip("-n", own, "link", "set", "eth0", "up")

    def _add(self, namespace: str) -> None:
        self._ip("netns", "add", namespace)
        self._ip("-n", namespace, "link", "set", "lo", "up")

    def _remove(self) -> None:
        for host in self.addresses:
            self.switch_off(host)
        for name in (*self.addresses, SWITCH):
            if (_NAMESPACES / self._namespace(name)).exists():
                self._ip("netns", "delete", self._namespace(name))

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
