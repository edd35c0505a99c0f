"""``python -m benchmarks``: measure, or put the newest figures into the READMEs."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.bench import Settings, run_bench
from benchmarks.readme import refresh
from benchmarks.report import ENGLISH, markdown
from support import corpora

PROJECT: Final = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the command line; its exit code."""
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--output", type=Path, default=PROJECT / ".bench", help="folder of the results")
    parser.add_argument("--repetitions", type=int, default=default.repetitions, help="rounds of everything")
    parser.add_argument(
        "--megabytes", type=float, default=default.excerpt_bytes / 1e6, help="text on one core; less is a trial"
    )
    parser.add_argument("--whole-megabytes", type=float, help="text of the whole runs (default: all); less is a trial")
    parser.add_argument(
        "--incremental-megabytes",
        type=float,
        default=default.incremental_bytes / 1e6,
        help="text of the incremental runs; less is a trial",
    )
    parser.add_argument("--without-whole-runs", action="store_true", help="one core only; a trial")
    parser.add_argument("--readme", action="store_true", help="measure nothing; put the newest results into README*.md")
    parsed = parser.parse_args()
    if parsed.repetitions < 1:
        parser.error("--repetitions is at least 1")
    if parsed.readme:
        return _refresh(parsed.output)
    if not corpora.CORPORA.is_dir():
        print("the corpora of ../shared, beside the project, are not here: nothing to measure on", file=sys.stderr)
        return 1
    settings = Settings(
        repetitions=parsed.repetitions,
        excerpt_bytes=int(parsed.megabytes * 1e6),
        whole_bytes=None if parsed.whole_megabytes is None else int(parsed.whole_megabytes * 1e6),
        with_whole_runs=not parsed.without_whole_runs,
        incremental_bytes=int(parsed.incremental_megabytes * 1e6),
    )
    with tempfile.TemporaryDirectory(prefix="kizami-bench-") as scratch:
        record = run_bench(settings, Path(scratch))
    parsed.output.mkdir(parents=True, exist_ok=True)
    name = f"bench-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    (parsed.output / f"{name}.json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
    report = markdown(record, ENGLISH)
    (parsed.output / f"{name}.md").write_text(report, "utf-8")
    print(report)
    return 0


def _refresh(output: Path) -> int:
    results = sorted(output.glob("bench-*.json"))
    if not results:
        print(f"{output} has no results: run `make bench` first", file=sys.stderr)
        return 1
    try:
        changed = refresh(PROJECT, json.loads(results[-1].read_text("utf-8")))
    except ValueError as error:
        print(f"{results[-1].name}: {error}", file=sys.stderr)
        return 1
    print(f"{', '.join(path.name for path in changed)} from {results[-1].name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
