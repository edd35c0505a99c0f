"""The ``kizami`` command: the reading verbs, and those that run the job."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from kizami.candidates import next_steps
from kizami.cli import READING_VERBS, Answer, Verb, add_corpus, business_date
from kizami.cli import main as run_verb
from kizami.config import load_config
from kizami.errors import ConfigurationError
from kizami.signals import Interruption
from kizami.upkeep import UPKEEP_VERBS


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the ``kizami`` script."""
    return run_verb(VERBS, arguments)


def _run(parsed: argparse.Namespace) -> Answer:
    config = load_config(parsed.config)
    config.corpus(parsed.corpus)
    try:
        # Imported here: reading needs no Ray, and importing it takes a second.
        from kizami_jobs.daily import RunRequest, RunResult, run_corpus  # noqa: PLC0415
        from kizami_jobs.progress import Progress  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is not installed: running the job needs pip install 'kizami[jobs]'"
        ) from error
    request = RunRequest(
        parsed.corpus,
        parsed.date,
        as_of_now=parsed.as_of_now,
        allow_empty=parsed.allow_empty,
        candidate=parsed.candidate,
    )
    interruption = Interruption()
    with interruption.watching():
        result: RunResult = run_corpus(
            config,
            request,
            Progress(sys.stderr),
            address=os.environ.get("RAY_ADDRESS"),
            interruption=interruption,
        )
    return Answer(_run_text(result), {"run": asdict(result.entry), "snapshot": asdict(result.pointer)})


def _run_text(result: RunResult) -> str:  # type: ignore[name-defined]  # noqa: F821  # imported where it is needed
    counts, pointer = result.entry.counts, result.pointer
    folder = f"{result.store}/{pointer.path}"
    if result.entry.state == "unchanged":
        return f"nothing to do: {pointer.date} is published from the same input\n{folder}"
    candidate = result.entry.state == "candidate"
    text = (
        f"{'candidate of' if candidate else 'published'} {pointer.date}: "
        f"{counts.documents:,} documents, {counts.rows:,} rows, {counts.tokens:,} tokens, "
        f"{counts.quarantined:,} quarantined; {counts.texts_analysed:,} texts analysed, "
        f"{counts.parts_reused:,} of {counts.parts:,} parts found finished\n{folder}"
    )
    return f"{text}\n{next_steps(pointer, result.entry.gates)}" if candidate else text


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    parser.add_argument(
        "--date", type=business_date, metavar="D", help="business date (default: today in the configured time zone)"
    )
    parser.add_argument(
        "--as-of-now", action="store_true", help="publish today's source under --date, though it is not that date's"
    )
    parser.add_argument(
        "--candidate", action="store_true", help="stop before the commit: look at the snapshot first, publish it later"
    )
    parser.add_argument("--allow-empty", action="store_true", help="publish a corpus without texts")


VERBS: Final = (
    Verb("run", "analyse a corpus on Ray and publish its snapshot: the daily job", _add_run_arguments, _run),
    *READING_VERBS,
    *UPKEEP_VERBS,
)
