"""``python -m benchmarks``: measure, or put the newest figures into the READMEs."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.bench import Settings, run_bench
from benchmarks.report import REPORT
from support import corpora
from support.reports import PROJECT


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
        return REPORT.refresh_with_newest(parsed.output)
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
    print(REPORT.write(parsed.output, record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
