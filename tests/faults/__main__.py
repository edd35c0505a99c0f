"""``python -m faults``: let every fault happen and write the table, or put the newest one into the READMEs."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import machine
from benchmarks.readme import put_between
from faults.report import ENGLISH, JAPANESE, Words, markdown
from faults.scene import Scene
from faults.strikes import FAULTS, strike
from support import corpora, network
from support.s3_server import S3Server
from support.two_hosts import CPUS, TwoHosts

PROJECT: Final = Path(__file__).resolve().parents[2]
BEGIN: Final = "<!-- faults: make faults-readme writes what follows -->\n"
END: Final = "<!-- faults: end -->\n"
_READMES: Final[dict[str, Words]] = {"README.md": ENGLISH, "README.ja.md": JAPANESE}


def main() -> int:
    """Run the command line; its exit code: 1 where a fault did harm."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"some of {', '.join(FAULTS)} (default: all)")
    parser.add_argument("--output", type=Path, default=PROJECT / ".faults", help="folder of the results")
    parser.add_argument("--readme", action="store_true", help="strike nothing; put the newest table into README*.md")
    parsed = parser.parse_args()
    if parsed.readme:
        return _refresh(parsed.output)
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
    parsed.output.mkdir(parents=True, exist_ok=True)
    name = f"faults-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    (parsed.output / f"{name}.json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
    report = markdown(record, ENGLISH)
    (parsed.output / f"{name}.md").write_text(report, "utf-8")
    print(report)
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


def _refresh(output: Path) -> int:
    results = sorted(output.glob("faults-*.json"))
    if not results:
        print(f"{output} has no results: run `make faults` first", file=sys.stderr)
        return 1
    record = json.loads(results[-1].read_text("utf-8"))
    if {outcome["fault"] for outcome in record["outcomes"]} != FAULTS.keys():
        print(f"{results[-1].name} has not all faults: run `make faults` first", file=sys.stderr)
        return 1
    for name, words in _READMES.items():
        put_between(PROJECT / name, BEGIN, END, markdown(record, words))
    print(f"{', '.join(_READMES)} from {results[-1].name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
