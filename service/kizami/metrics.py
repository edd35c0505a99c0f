"""Metrics: a corpus's figures for Prometheus, a text file that node_exporter's textfile collector picks up.

One file a corpus, so that runs of several never write over each other's. The figures are read from the ledger, whoever
made the runs and where; what the ledger's newest entries do not tell stays as the file has it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from kizami.ledger import RunEntry, State
from kizami.notices import has_failed
from kizami.punctuality import JOBS, has_published

_ENDED: Final = tuple(state for state in State if state not in {State.STARTED, State.REFUSED, State.DONE})

HELP: Final[Mapping[str, str]] = {
    "kizami_last_success_timestamp_seconds": "When a run last published, or found its date published already",
    "kizami_last_failure_timestamp_seconds": "When a run last ended without publishing though it was to",
    "kizami_last_run_timestamp_seconds": "When the last run ended",
    "kizami_last_run_duration_seconds": "How long the last run took",
    "kizami_last_run_exit_code": "What the last run ended with; absent if it died",
    "kizami_last_run_state": "1 for what became of the last run, 0 for everything else",
    "kizami_rows": "Rows of the last snapshot that a run published",
    "kizami_quarantined_texts": "Texts that this run held back",
    "kizami_texts_per_second": "Texts that it analysed in a second of its stage analyse; absent if none",
    "kizami_reuse_ratio": "Share of its texts whose tokens were taken over, 0 to 1",
    "kizami_worker_cpu_seconds": "Processor seconds that its workers took to build parts; absent if none was built",
}
"""Every metric, and what it says. Each has the label ``corpus``."""
_KEPT: Final = ("kizami_last_success", "kizami_last_failure")
_OF_SNAPSHOT: Final = (
    "kizami_rows",
    "kizami_quarantined_texts",
    "kizami_texts_per_second",
    "kizami_reuse_ratio",
    "kizami_worker_cpu_seconds",
)


def write_metrics(folder: str, corpus: str, entries: Sequence[RunEntry]) -> None:
    """Write ``kizami_{corpus}.prom`` anew, in one step, by the ledger's newest entries. Raises OSError, ImportError."""
    path = Path(folder, f"kizami_{corpus}.prom")
    _write(path, corpus, {**_kept(path, entries), **figures(entries)})


def figures(entries: Iterable[RunEntry]) -> dict[tuple[str, str], float]:
    """The figures that the newest entries of a ledger give, by name and state ("" but for a state's own)."""
    found: dict[tuple[str, str], float] = {}
    for entry in entries:
        if entry.ended_at is None or not (has_failed(entry) or has_published(entry) or entry.state is State.CANDIDATE):
            continue
        if ("kizami_last_run_timestamp_seconds", "") not in found:
            found |= _of_run(entry)
        if has_published(entry):
            found.setdefault(("kizami_last_success_timestamp_seconds", ""), _seconds(entry.ended_at))
        if has_failed(entry):
            found.setdefault(("kizami_last_failure_timestamp_seconds", ""), _seconds(entry.ended_at))
        if entry.state is State.PUBLISHED and entry.verb in JOBS and ("kizami_rows", "") not in found:
            found |= _of_snapshot(entry)
    return found


def _of_run(entry: RunEntry) -> dict[tuple[str, str], float]:
    ended = _seconds(entry.ended_at or "")
    found = {
        ("kizami_last_run_timestamp_seconds", ""): ended,
        ("kizami_last_run_duration_seconds", ""): ended - _seconds(entry.started_at),
        **{("kizami_last_run_state", str(state)): float(state is entry.state) for state in _ENDED},
    }
    if entry.exit_code is not None:
        found["kizami_last_run_exit_code", ""] = entry.exit_code
    return found


def _of_snapshot(entry: RunEntry) -> dict[tuple[str, str], float]:
    counts, seconds = entry.counts, entry.stage_seconds.get("analyse", 0.0)
    texts = counts.texts_analysed + counts.texts_reused
    found = {
        "kizami_rows": float(counts.rows),
        "kizami_quarantined_texts": float(counts.quarantined),
        "kizami_reuse_ratio": counts.texts_reused / texts if texts else 0.0,
    }
    if counts.texts_analysed and seconds:
        found["kizami_texts_per_second"] = counts.texts_analysed / seconds
    if entry.worker_cpu_seconds is not None:
        found["kizami_worker_cpu_seconds"] = entry.worker_cpu_seconds
    return {(name, ""): value for name, value in found.items()}


def _kept(path: Path, entries: Iterable[RunEntry]) -> dict[tuple[str, str], float]:
    """What the file says beyond what these entries tell: of the last snapshot only where they have none newer."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415  # readers need none of it

    known = ("kizami_rows", "") in figures(entries)
    found: dict[tuple[str, str], float] = {}
    with suppress(FileNotFoundError, ValueError):  # no such file, or a damaged one
        for family in text_string_to_metric_families(path.read_text("utf-8")):
            if family.name.startswith(_KEPT) or (family.name in _OF_SNAPSHOT and not known):
                for sample in family.samples:
                    found[family.name, ""] = sample.value
    return found


def _write(path: Path, corpus: str, values: Mapping[tuple[str, str], float]) -> None:
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile  # noqa: PLC0415

    registry = CollectorRegistry()
    for name, text in HELP.items():
        labels = ["corpus", "state"] if name == "kizami_last_run_state" else ["corpus"]
        samples = [(state, value) for (of, state), value in values.items() if of == name]
        gauge = Gauge(name, text, labels, registry=registry) if samples else None
        for state, value in samples:
            if gauge:
                gauge.labels(corpus, *([state] if state else [])).set(value)
    write_to_textfile(str(path), registry)
    path.chmod(0o644)  # whatever the run's umask: node_exporter is another user


def _seconds(moment: str) -> float:
    return dt.datetime.fromisoformat(moment).timestamp()
