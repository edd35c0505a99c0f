"""`kizami run`, whole: a corpus into a store in a folder, on a Ray of its own with a given number of workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from kizami_jobs.memory import private_bytes
from support.kizami_process import KIZAMI

_WATCH_SECONDS: Final = 0.2
_TIMEOUT_SECONDS: Final = 3_600


@dataclass(frozen=True, slots=True)
class WholeRun:
    """What one run took."""

    workers: int
    seconds: float
    """The whole command, Python's and Ray's start included."""
    stage_seconds: dict[str, float]
    worker_seconds: float
    """Of building parts, added up over the workers."""
    peak_worker_bytes: int
    """The largest private memory (USS) of a process that built a part, as the ledger tells it or as it was watched."""
    tokens: int
    part_bytes: int
    """Bytes of all part files of the snapshot."""

    @property
    def overhead(self) -> float:
        """How much longer than the analysis over the workers the run took, Ray's start apart: 0.1 is 10 %."""
        return (self.seconds - self.stage_seconds["ray"]) / (self.worker_seconds / self.workers) - 1


def run_whole(source: Path, fields: Sequence[str], workers: int, *, watched: bool = False) -> WholeRun:
    """Run ``kizami run`` on a source with an empty store.

    ``workers`` is the number of cores that Ray gives out; the processes may use all of the machine's. ``watched`` also
    looks at the workers' memory five times a second, which takes time: such a run's times are not to be compared.
    Raises RuntimeError with what the run said if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="kizami-bench-") as name:
        folder = Path(name)
        config = folder / "kizami.toml"
        config.write_text(
            f'store = "./store"\n[corpora.bench]\nsource = {json.dumps(str(source))}\nid = "doc_id"\n'
            f"fields = {json.dumps(list(fields))}\n",
            "utf-8",
        )
        # Ray's own way to give a node other resources than it finds.
        environment = {**os.environ, "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": workers})}
        environment.pop("RAY_ADDRESS", None)
        command = [sys.executable, str(KIZAMI), "run", "bench", "--config", str(config), "--json"]
        started = time.perf_counter()
        with (
            (folder / "log").open("w+") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
        ):
            watch = _Watch(process.pid) if watched else None
            try:
                output, _ = process.communicate(timeout=_TIMEOUT_SECONDS)
            finally:
                seconds = time.perf_counter() - started
                if watch:
                    watch.stop()
                process.terminate()  # no more than a precaution; the command ends its own Ray
            if process.returncode:
                log.seek(0)
                raise RuntimeError(f"kizami run exited {process.returncode}: {log.read()}")
        run: dict[str, Any] = json.loads(output)["run"]
        parts = (folder / "store").glob("v1/bench/snapshots/*/part-*.parquet")
        return WholeRun(
            workers=workers,
            seconds=seconds,
            stage_seconds=run["stage_seconds"],
            worker_seconds=run["worker_seconds"],
            peak_worker_bytes=max(run["peak_worker_bytes"], watch.peak_bytes if watch else 0),
            tokens=run["counts"]["tokens"],
            part_bytes=sum(part.stat().st_size for part in parts),
        )


class _Watch:
    """The largest private memory of the processes below one, while they build a part."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(_WATCH_SECONDS):
            try:
                processes = self._root.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            for process in processes:
                try:
                    if process.cmdline()[:1] == ["ray::make_part"]:
                        self.peak_bytes = max(self.peak_bytes, private_bytes(process))
                except psutil.Error:
                    continue
