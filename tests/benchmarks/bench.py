"""The benchmark: all contenders in turn, round after round, and the measures that follow."""

from __future__ import annotations

import json
import mmap
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.incremental import TEXT_BYTES, IncrementalRun, measure_incremental, shares
from benchmarks.inputs import BULK_FIELDS, Input, bulk_excerpt, mecab_command, repeated_menus, whole_bulk
from benchmarks.machine import machine, versions
from benchmarks.measures import TARGETS, Measure
from benchmarks.repetition import run_repetition
from benchmarks.samples import Spread, ratios
from benchmarks.whole_run import WholeRun, run_whole
from kizami.analysis.dictionary import bundled_dictionary

COLUMN: Final = "lemma"
"""The token column that is read back."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured. The defaults are what the targets speak of."""

    repetitions: int = 5
    excerpt_bytes: int = 15_000_000
    whole_bytes: int | None = None
    """Text in the whole runs; None for all of bulk_aozora."""
    with_whole_runs: bool = True
    incremental_bytes: int = TEXT_BYTES
    """Text in the series of incremental runs, which is done once, whatever the repetitions."""

    @property
    def full(self) -> bool:
        """Whether the sizes are those the targets speak of."""
        default = Settings()
        sizes = (self.excerpt_bytes, self.whole_bytes, self.incremental_bytes)
        return self.with_whole_runs and sizes == (default.excerpt_bytes, None, default.incremental_bytes)


@dataclass
class Results:
    """Everything measured so far."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By contender, round by round."""
    text_bytes: dict[str, int] = field(default_factory=dict)
    """By contender: the UTF-8 bytes of text it went through."""
    tokens: dict[str, int] = field(default_factory=dict)
    whole: dict[str, list[WholeRun]] = field(default_factory=lambda: defaultdict(list))
    incremental: list[IncrementalRun] = field(default_factory=list)

    def measures(self) -> list[Measure]:
        """The measures that can be told from what was measured, in the order of their targets."""
        seconds, whole = self.seconds, self.whole
        found: dict[str, Spread] = {}
        if seconds["mecab"]:
            found["mecab"] = ratios(seconds["mecab"], seconds["kizami"])
            found["menus_mecab"] = ratios(seconds["menus_mecab"], seconds["menus_kizami"])
        found["team"] = ratios(seconds["team"], seconds["kizami"])
        found["reading_team"] = ratios(seconds["team"], seconds["read"])
        found["reading_kizami"] = ratios(seconds["kizami"], seconds["read"])
        if one := whole["one"]:
            two, small, large = whole["two"], whole["memory_excerpt"], whole["memory_whole"]
            analysis = [[run.stage_seconds["analyse"] for run in runs] for runs in (one, two)]
            found["two_workers"] = ratios(*analysis)
            found["overhead"] = Spread.of(run.overhead for run in two)
            found["worker_memory"] = Spread.of(run.peak_worker_bytes for run in large)
            growth = zip(large, small, strict=True)
            found["worker_memory_growth"] = Spread.of(
                after.peak_worker_bytes / before.peak_worker_bytes - 1 for after, before in growth
            )
            found["snapshot_size"] = Spread.of(run.part_bytes / self.text_bytes["two"] for run in two)
        if self.incremental:
            found |= {name: Spread.of([share]) for name, share in shares(self.incremental).items()}
        return [Measure(name, found[name]) for name in TARGETS if name in found]


def run_bench(settings: Settings, scratch: Path) -> dict[str, Any]:
    """Measure everything; the record that the reports are made of.

    In each round every contender has its turn, so that a slow moment of the machine hits them alike. ``scratch`` takes
    some hundred MB. Raises CalledProcessError or RuntimeError when a contender fails.
    """
    load_before = round(os.getloadavg()[0], 2)  # of other processes: near 0, or the figures are theirs too
    bulk = bulk_excerpt(scratch, settings.excerpt_bytes)
    menus = repeated_menus(scratch, settings.excerpt_bytes)
    results = Results()
    for number in range(1, settings.repetitions + 1):
        _say(f"round {number} of {settings.repetitions}, one core")
        _one_core(bulk, "", results, scratch, with_team=True)
        _one_core(menus, "menus_", results, scratch, with_team=False)
    if settings.with_whole_runs:
        _whole_runs(settings, bulk, results, scratch)
        _say("incremental runs")
        results.incremental = measure_incremental(scratch / "incremental", settings.incremental_bytes)
    return _record(settings, (bulk, menus), results, load_before)


def _one_core(source: Input, prefix: str, results: Results, scratch: Path, *, with_team: bool) -> None:
    """One round of the contenders that run on one core, on one input."""
    documents, fields = str(source.documents), json.dumps(source.fields)
    part = scratch / f"{source.name}.parquet"
    turns: list[tuple[str, Sequence[str]]] = []
    if command := mecab_command(bundled_dictionary().folder, source):
        turns.append(("mecab", command))
    turns.append(("kizami", (documents, str(part), fields)))
    if with_team:
        turns.append(("team", (documents, str(scratch / "team.parquet"), fields)))
        turns.append(("read", (str(part), COLUMN)))
    for contender, arguments in turns:
        measured = run_repetition(contender, *arguments)
        name = prefix + contender
        results.seconds[name].append(measured["seconds"])
        results.text_bytes[name] = source.text_bytes
        if "tokens" in measured:
            results.tokens[name] = measured["tokens"]
        if measured.get("rows", source.text_count) != source.text_count:
            raise RuntimeError(f"{name} gave {measured['rows']} rows for {source.text_count} texts")
        _say(f"  {name}: {measured['seconds']:.3f} s")


def _whole_runs(settings: Settings, bulk: Input, results: Results, scratch: Path) -> None:
    """The rounds of `kizami run`: by one worker, by two, and twice more to watch the memory of one that does it all."""
    if settings.whole_bytes is None:
        whole, text_bytes = whole_bulk()
    else:
        (folder := scratch / "whole").mkdir()
        cut = bulk_excerpt(folder, settings.whole_bytes)
        whole, text_bytes = cut.documents, cut.text_bytes
    turns = (
        ("one", whole, text_bytes, 1, False),
        ("two", whole, text_bytes, 2, False),
        ("memory_excerpt", bulk.documents, bulk.text_bytes, 1, True),
        ("memory_whole", whole, text_bytes, 1, True),
    )
    with dictionary_held(bundled_dictionary().folder):
        for number in range(1, settings.repetitions + 1):
            _say(f"round {number} of {settings.repetitions}, whole runs")
            for name, source, size, workers, watched in turns:
                run = run_whole(source, BULK_FIELDS, workers, watched=watched)
                results.whole[name].append(run)
                results.text_bytes[name] = size
                results.tokens[name] = run.tokens
                _say(f"  {name}: {run.seconds:.1f} s, {run.stage_seconds}, {run.peak_worker_bytes / 1e6:.0f} MB")


@contextmanager
def dictionary_held(folder: Path) -> Iterator[None]:
    """Keep every page of the dictionary's files in use by this process too.

    The kernel shares them among all who map them, and private memory (USS) leaves shared pages out. Without this they
    would be counted where one worker runs and not where two do.
    """
    with ExitStack() as stack:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.stat().st_size:
                file = stack.enter_context(path.open("rb"))
                pages = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                for offset in range(0, len(pages), mmap.PAGESIZE):
                    pages[offset]
        yield


def _record(settings: Settings, inputs: Sequence[Input], results: Results, load_before: float) -> dict[str, Any]:
    contenders = {
        name: {
            "seconds": seconds,
            "spread": asdict(Spread.of(seconds)),
            "text_bytes": results.text_bytes[name],
            "tokens": results.tokens.get(name),
        }
        for name, seconds in results.seconds.items()
        if seconds
    }
    whole = {
        name: {
            "runs": [asdict(run) for run in runs],
            "seconds": asdict(Spread.of(run.seconds for run in runs)),
            "analysis_seconds": asdict(Spread.of(run.stage_seconds["analyse"] for run in runs)),
            "text_bytes": results.text_bytes[name],
            "tokens": results.tokens[name],
        }
        for name, runs in results.whole.items()
        if runs
    }
    return {
        "settings": asdict(settings) | {"full": settings.full},
        "machine": machine() | {"load_before": load_before},
        "versions": versions(),
        "inputs": [_input_record(source) for source in inputs],
        "contenders": contenders,
        "whole_runs": whole,
        "incremental": [asdict(run) for run in results.incremental],
        "measures": [measure.record() for measure in results.measures()],
    }


def _input_record(source: Input) -> Mapping[str, Any]:
    return {
        "name": source.name,
        "documents": source.document_count,
        "texts": source.text_count,
        "text_bytes": source.text_bytes,
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
