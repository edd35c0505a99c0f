"""Fifty starts of one command at the same moment, at the price of one: each a process of its own, forked from one that
has imported everything and started nothing.

``python many_starts.py COUNT FOLDER ARGUMENTS…`` prints the process ids, and ends when all of them have; what each
printed, and its exit code, is in ``FOLDER/PID.out``, ``.err`` and ``.code``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import kizami_jobs.daily  # noqa: F401  # what a run imports, before the fork
from kizami_jobs.cli import main


def start(folder: Path, arguments: list[str], gate: int) -> int:
    """A child that waits for the gate to close, runs the command and ends; its process id."""
    pid = os.fork()
    if pid:
        return pid
    os.read(gate, 1)
    own = folder / str(os.getpid())
    for number, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(own.with_suffix(suffix), os.O_WRONLY | os.O_CREAT), number)
    code = 70
    try:
        code = main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        own.with_suffix(".code").write_text(str(code))
        os._exit(code)


if __name__ == "__main__":
    count, target, rest = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    gate, key = os.pipe()
    children = [start(target, rest, gate) for _ in range(count)]
    print(*children, flush=True)
    for _ in children:
        os.write(key, b".")
    for child in children:
        os.waitpid(child, 0)
