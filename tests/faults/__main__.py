"""``python -m faults``: let every fault happen and write the table, or put the newest one into the READMEs."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from faults.report import REPORT
from faults.scene import Scene
from faults.strikes import FAULTS, strike
from support import corpora, network
from support.reports import PROJECT
from support.s3_server import S3Server
from support.two_hosts import CPUS, TwoHosts


def main() -> int:
    """Run the command line; its exit code: 1 where a fault did harm."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"some of {', '.join(FAULTS)} (default: all)")
    parser.add_argument("--output", type=Path, default=PROJECT / ".faults", help="folder of the results")
    parser.add_argument("--readme", action="store_true", help="strike nothing; put the newest table into README*.md")
    parsed = parser.parse_args()
    if parsed.readme:
        return REPORT.refresh_with_newest(parsed.output)
    if unknown := set(parsed.faults) - FAULTS.keys():
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    obstacle = network.obstacle()
    if not corpora.CORPORA.is_dir():
        obstacle = "the corpora of ../shared, beside the project, are not here"
    if obstacle:
        print(obstacle, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="kizami-faults-") as folder:
        record = _strike(parsed.faults or list(FAULTS), Path(folder))
    print(REPORT.write(parsed.output, record))
    return 0 if all(outcome["right"] for outcome in record["outcomes"]) else 1


def _strike(names: list[str], folder: Path) -> dict[str, Any]:
    outcomes = []
    with S3Server(folder / "s3") as s3, TwoHosts(s3) as hosts, Scene(hosts, folder) as scene:
        for name in names:
            started = time.monotonic()
            outcome = strike(scene, name)
            seconds = round(time.monotonic() - started, 1)
            outcomes.append({**asdict(outcome), "right": outcome.is_right, "seconds": seconds})
            print(f"{name}: {'right' if outcome.is_right else 'WRONG'}, {seconds} s", file=sys.stderr, flush=True)
        return {
            "machine": machine(),
            "scene": {
                "rows": scene.undisturbed.num_rows,
                "parts": scene.parts,
                "cpus": CPUS,
                "ray": version("ray"),
            },
            "outcomes": outcomes,
        }


if __name__ == "__main__":
    sys.exit(main())
