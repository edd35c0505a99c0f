"""A real ``kizami`` command in a process of its own, with everything it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

KIZAMI = Path(sys.executable).parent / "kizami"
_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


class KizamiProcess:
    """A command that runs. Leaving the context ends it and whatever of its processes is left, each by its own id."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ):
        """``prefix`` is a command that runs the one given after it as its only child, and ends with its exit code."""
        self._prefixed = bool(prefix)
        self._command = [*prefix, sys.executable, str(KIZAMI), *map(str, arguments)]
        self._environment = {**os.environ, **(environment or {})}
        self._out, self._err = folder / "stdout", folder / "stderr"
        self._tree: list[psutil.Process] = []

    def __enter__(self) -> KizamiProcess:
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=err, env=self._environment)
        self._own = psutil.Process(self._process.pid)
        while self._prefixed and self._own.pid == self._process.pid and self.running:
            self._own = next(iter(self._own.children()), self._own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.tree():
            if process.is_running():
                process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._own.pid

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """What it has logged."""
        return self._err.read_text()

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def tree(self) -> list[psutil.Process]:
        """The process and all that it and its children have started, those seen before included."""
        try:
            found = [self._own, *self._own.children(recursive=True)]
        except psutil.NoSuchProcess:
            found = []
        self._tree = list(dict.fromkeys([*self._tree, *found]))
        return self._tree

    def workers(self, task: str) -> list[psutil.Process]:
        """The Ray workers of this run that execute a task of this name now."""
        found = []
        for process in self.tree():
            try:
                if process.cmdline()[:1] == [f"ray::{task}"]:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found

    def wait(self, timeout: float = 90.0) -> int:
        """Wait for its end; its exit code."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"kizami still runs after {timeout:.0f} s: {self.stderr}") from None

    def interrupt(self) -> None:
        """Send SIGTERM to the command alone, as a scheduler does."""
        self._own.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the command alone; its own end comes at once."""
        self.tree()
        self._own.kill()
        self._process.wait()

    def survivors(self, patience: float = 20.0) -> list[str]:
        """Names of the processes of the tree that are still there after some patience, Ray's two agents left out.

        These go on for a minute after a SIGKILL, telling a control service that died with the rest, and end then.
        """
        ends = time.monotonic() + patience
        while left := [name for process in self.tree() if (name := _name(process)) not in {None, *_AGENTS}]:
            if time.monotonic() > ends:
                return [str(name) for name in left]
            time.sleep(0.1)
        return []


def _name(process: psutil.Process) -> str | None:
    """A process's name, None if it has ended."""
    try:
        alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return process.name() if alive else None
    except psutil.NoSuchProcess:
        return None
