"""Processor time of a command and of every process it starts, wherever in the tree below it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

import psutil

_WATCH_SECONDS: Final = 0.2
"""A process that ends is counted up to the last look at it."""
_OWN: Final = ("ray::",)
"""How the command lines of Ray's workers begin while they live."""


@dataclass(frozen=True, slots=True)
class ProcessorSeconds:
    """User and system time."""

    job: float
    """Of the command itself and of Ray's workers."""
    ray: float
    """Of Ray's own processes: GCS, raylet, agents, monitors."""


class Meter:
    """Watches the processes of a command; to be stopped before what it told is read."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._seconds: dict[tuple[int, float], float] = {}
        self._is_job: set[tuple[int, float]] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        """End watching."""
        self._done.set()
        self._thread.join()

    @property
    def spent(self) -> ProcessorSeconds:
        """What was spent up to now."""
        job = sum(seconds for key, seconds in self._seconds.items() if key in self._is_job)
        return ProcessorSeconds(job, sum(self._seconds.values()) - job)

    def _watch(self) -> None:
        while not self._done.wait(_WATCH_SECONDS):
            try:
                processes = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in processes:
                try:
                    self._look(process)
                except psutil.Error:
                    continue

    def _look(self, process: psutil.Process) -> None:
        command = process.cmdline()
        times = process.cpu_times()
        key = process.pid, process.create_time()
        self._seconds[key] = times.user + times.system
        if process.pid == self._root.pid or (command and command[0].startswith(_OWN)):
            self._is_job.add(key)
