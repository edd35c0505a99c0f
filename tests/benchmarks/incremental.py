"""What an incremental run costs: processor seconds of `kizami run` on a corpus of short documents, against a full one.

``python -m benchmarks.incremental --megabytes 20`` measures a small trial alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.inputs import BULK
from benchmarks.processor import Meter
from support import corpora
from support.kizami_process import KIZAMI

TEXT_BYTES: Final = 500_000_000
DOCUMENT_CHARACTERS: Final = 400
"""A document ends with the line that brings it here: some 1.6 kB."""
_FILES: Final = 8
_TIMEOUT_SECONDS: Final = 3_600
Document = dict[str, str]


@dataclass(frozen=True, slots=True)
class IncrementalRun:
    """One run of the series."""

    name: str
    job_seconds: float
    """Processor seconds of the command and of Ray's workers."""
    ray_seconds: float
    """Processor seconds of Ray's own processes, its start among them."""
    wall_seconds: float
    """By the ledger, Ray's start apart."""
    texts_analysed: int
    texts_reused: int
    parts: int
    parts_copied: int


def measure_incremental(folder: Path, text_bytes: int = TEXT_BYTES) -> list[IncrementalRun]:
    """A run on nothing much, a full one, and after it three others, each on the snapshot before.

    Nothing changed; 0.5 % new at the end of the ids and 0.5 % edited among the newest twentieth; 1 % edited anywhere.
    """
    rng = random.Random(20261123)
    documents = list(short_documents(text_bytes))
    newest = len(documents) - len(documents) // 20
    some = max(1, len(documents) // 200)
    steps: list[tuple[str, Iterable[int], int]] = [
        ("full", (), 0),
        ("unchanged", (), 0),
        ("newest", rng.sample(range(newest, len(documents)), some), some),
        ("anywhere", rng.sample(range(len(documents)), 2 * some), 0),
    ]
    runs = [_run(folder / "start", "start", documents[:1], 1)]
    for day, (name, edited, added) in enumerate(steps, start=1):
        for number in edited:
            body = documents[number]["body"]
            documents[number] = {**documents[number], "body": f"{day}日目の改訂。{body}"}
        last = len(documents)
        documents += [
            {"doc_id": _doc_id(last + number), "body": f"{day}日目の新作。{documents[number]['body']}"}
            for number in range(added)
        ]
        runs.append(_run(folder / "series", name, documents, day))
    return runs


def shares(runs: Sequence[IncrementalRun]) -> dict[str, float]:
    """What each incremental run took of the full one's processor seconds, that of the run on nothing much taken off
    both: it is the start of Ray's workers and of Python."""
    seconds = {run.name: run.job_seconds for run in runs}
    start = seconds.pop("start")
    whole = seconds.pop("full") - start
    return {name: max(0.0, own - start) / whole for name, own in seconds.items()}


def short_documents(text_bytes: int) -> Iterator[Document]:
    """bulk_aozora in short documents, again and again under new, increasing ids."""
    size = number = 0
    while size < text_bytes:
        for body in _bodies():
            yield {"doc_id": _doc_id(number), "body": body}
            number += 1
            size += len(body.encode())
            if size >= text_bytes:
                return


def _bodies() -> Iterator[str]:
    for work in corpora.documents(BULK):
        lines: list[str] = []
        for line in work["body"].split("\n"):
            lines.append(line)
            if sum(map(len, lines)) >= DOCUMENT_CHARACTERS:
                yield "\n".join(lines)
                lines = []
        if any(lines):
            yield "\n".join(lines)


def _doc_id(number: int) -> str:
    return f"doc-{number:09}"


def _run(folder: Path, name: str, documents: Sequence[Document], day: int) -> IncrementalRun:
    source = folder / "source"
    source.mkdir(parents=True, exist_ok=True)
    size = -(-len(documents) // _FILES)
    for number in range(_FILES):
        with (source / f"{number}.jsonl").open("w", encoding="utf-8") as lines:
            for document in documents[number * size : (number + 1) * size]:
                lines.write(json.dumps(document, ensure_ascii=False) + "\n")
    config = folder / "kizami.toml"
    config.write_text(
        'store = "./store"\n[corpora.bench]\nsource = "./source"\nid = "doc_id"\nfields = ["body"]\n', "utf-8"
    )
    arguments = ["run", "bench", "--config", str(config), "--date", f"2026-01-{day:02}", "--as-of-now", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with (
        (folder / "log").open("w+") as log,
        subprocess.Popen(
            [sys.executable, str(KIZAMI), *arguments], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as process,
    ):
        meter = Meter(process.pid)
        try:
            output, _ = process.communicate(timeout=_TIMEOUT_SECONDS)
        finally:
            meter.stop()
            process.terminate()  # no more than a precaution; the command ends its own Ray
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"kizami run exited {process.returncode}: {log.read()}")
    run: dict[str, Any] = json.loads(output)["run"]
    counts, stages = run["counts"], run["stage_seconds"]
    return IncrementalRun(
        name=name,
        job_seconds=round(meter.spent.job, 2),
        ray_seconds=round(meter.spent.ray, 2),
        wall_seconds=round(sum(stages.values()) - stages["ray"], 2),
        texts_analysed=counts["texts_analysed"],
        texts_reused=counts["texts_reused"],
        parts=counts["parts"],
        parts_copied=counts["parts_copied"],
    )


def main() -> int:
    """Measure once and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.incremental", description=__doc__)
    parser.add_argument("--megabytes", type=float, default=TEXT_BYTES / 1e6, help="of text; less is a trial")
    parsed = parser.parse_args()
    if not corpora.CORPORA.is_dir():
        print("the corpora of ../shared, beside the project, are not here: nothing to measure on", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="kizami-bench-") as scratch:
        runs = measure_incremental(Path(scratch), int(parsed.megabytes * 1e6))
    for run in runs:
        print(json.dumps(asdict(run)))
    for name, share in shares(runs).items():
        print(f"{name}: {share:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
