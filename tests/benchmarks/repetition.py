"""One repetition of one contender: a fresh process on one core, which prints what it measured as JSON.

The clock runs from before the Tagger is made and the first text is read until the file is closed. Python's start and
imports are not in it; of the ``mecab`` command, all is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

_TESTS: Final = Path(__file__).resolve().parents[1]


def kizami(source: str, target: str, fields: str) -> dict[str, Any]:
    """A worker's whole path; the part is left at ``target``."""
    from benchmarks import worker_path  # noqa: PLC0415  # a contender imports what is its own

    pa.array([])  # at the first one, pyarrow imports pandas
    with tempfile.TemporaryDirectory(prefix="kizami-bench-") as store:
        started = time.perf_counter()
        part = worker_path.build(Path(source), Path(store), json.loads(fields))
        seconds = time.perf_counter() - started
        (staged,) = Path(store).rglob(f"{part.key}.parquet")
        staged.replace(target)
    return {"seconds": seconds, "tokens": part.report.tokens, "rows": part.report.rows}


def team(source: str, target: str, fields: str) -> dict[str, Any]:
    """A team's own script."""
    from benchmarks import team_script  # noqa: PLC0415

    started = time.perf_counter()
    team_script.analyse_corpus(Path(source), Path(target), json.loads(fields))
    return {"seconds": time.perf_counter() - started, "rows": pq.read_metadata(target).num_rows}


def mecab(*command: str) -> dict[str, Any]:
    """MeCab's command line, its output thrown away."""
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return {"seconds": time.perf_counter() - started}


def read(part: str, column: str) -> dict[str, Any]:
    """One token column of a finished part, with pandas."""
    import pandas as pd  # noqa: PLC0415

    started = time.perf_counter()
    frame = pd.read_parquet(part, columns=[column], dtype_backend="pyarrow")
    return {"seconds": time.perf_counter() - started, "rows": len(frame)}


CONTENDERS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    function.__name__: function for function in (kizami, team, mecab, read)
}


def run_repetition(contender: str, *arguments: str, timeout: float = 1_800) -> dict[str, Any]:
    """Run one repetition in a process of its own, whose temporary files and caches are its own too."""
    with tempfile.TemporaryDirectory(prefix="kizami-bench-") as scratch:
        paths = os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "TMPDIR": scratch, "XDG_CACHE_HOME": scratch, "PYTHONPATH": paths}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.repetition", contender, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=timeout,
        )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _main() -> None:
    # The last core: interrupts tend to go to the first.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    contender, *arguments = sys.argv[1:]
    print(json.dumps(CONTENDERS[contender](*arguments)))


if __name__ == "__main__":
    _main()
