"""The ``kizami`` command: the reading verbs, and those that run the job."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from kizami.candidates import next_steps
from kizami.cli import READING_VERBS, Answer, Verb, add_config, add_corpus, add_wait, business_date
from kizami.cli import main as run_verb
from kizami.config import Config, load_config
from kizami.errors import ConfigurationError, InterruptedRunError, KizamiError
from kizami.log import JsonLog
from kizami.monitoring import MONITORING_VERBS
from kizami.plan import render_plan
from kizami.renewal import EVERYTHING, NOTHING, read_ids, renewal_of
from kizami.scheduling import SCHEDULE_VERB
from kizami.signals import Interruption
from kizami.stores import open_store
from kizami.submission import Place, ended, read_submission, remove_submission
from kizami.upkeep import UPKEEP_VERBS
from kizami_jobs import submit_verb


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the ``kizami`` script."""
    return run_verb(VERBS, arguments)


def _run(parsed: argparse.Namespace) -> Answer:
    if parsed.submission is not None:
        return _submitted(parsed)
    asked = {
        "renewal": EVERYTHING if parsed.full else NOTHING,
        "allow_empty": parsed.allow_empty,
        "candidate": parsed.candidate,
        "wait_seconds": parsed.wait,
    }
    return _all(parsed, **asked) if parsed.all else _job(parsed, **asked)


def _all(parsed: argparse.Namespace, **asked: Any) -> Answer:
    config = load_config(parsed.config)
    with _jobs_extra():
        from kizami_jobs.request import RunRequest  # noqa: PLC0415
        from kizami_jobs.several import exit_code, run_all  # noqa: PLC0415
    interruption = Interruption()
    with interruption.watching():
        outcomes = run_all(
            config,
            RunRequest("", parsed.date, as_of_now=parsed.as_of_now, **asked),
            _progress(parsed),
            address=os.environ.get("RAY_ADDRESS"),
            interruption=interruption,
            debug=parsed.debug,
        )
    code = exit_code(outcomes)
    told = [
        f"{each.corpus}: {_run_text(each.result) if each.result else f'failed with {each.exit_code}: {each.message}'}"
        for each in outcomes
    ]
    return Answer("\n".join(told), {"corpora": {each.corpus: each.data for each in outcomes}, "exit_code": code}, code)


def _reprocess(parsed: argparse.Namespace) -> Answer:
    ids = parsed.id or []
    if parsed.ids_file:
        ids = read_ids(parsed.ids_file)
    renewal = renewal_of(parsed.everything, parsed.field, ids)
    return _job(parsed, verb="reprocess", renewal=renewal, candidate=parsed.candidate)


def _job(parsed: argparse.Namespace, **asked: Any) -> Answer:
    config = load_config(parsed.config)
    config.corpus(parsed.corpus)
    with _jobs_extra():
        from kizami_jobs.request import RunRequest  # noqa: PLC0415
    request = RunRequest(parsed.corpus, parsed.date, as_of_now=parsed.as_of_now, **asked)
    interruption = Interruption()
    with interruption.watching():
        return _perform(parsed, config, request, interruption)


def _submitted(parsed: argparse.Namespace) -> Answer:
    """The run that `kizami submit` asked for; one that has ended is not made again, and ends as it did."""
    with _jobs_extra():
        from kizami_jobs.request import RunRequest  # noqa: PLC0415
    if parsed.date or parsed.as_of_now or parsed.full or parsed.candidate or parsed.allow_empty or parsed.wait:
        raise ConfigurationError("--submission has everything in it: give it alone")
    place = Place.parse(parsed.submission)
    if place.corpus != parsed.corpus:
        raise ConfigurationError(f"{place} is of corpus {place.corpus}, not {parsed.corpus}")
    store = open_store(place.store)
    if (entry := ended(store, place)) is not None:
        return Answer(
            f"run {entry.run} has ended already ({entry.state}); it is not made again",
            {"run": asdict(entry), "snapshot": None},
            entry.exit_code or 0,
        )
    submission, user = read_submission(store, place)
    request = RunRequest(
        submission.corpus,
        date.fromisoformat(submission.date),
        as_of_now=submission.as_of_now,
        allow_empty=submission.allow_empty,
        verb=submission.verb,
        renewal=submission.renewal,
        candidate=submission.candidate,
        wait_seconds=submission.wait_seconds,
        run=submission.run,
        user=user,
    )
    # The store is the one where it lies, whatever ~ is on this host.
    config = replace(submission.config(), store=place.store)
    interruption = Interruption()
    with interruption.watching():
        try:
            return _perform(parsed, config, request, interruption)
        except InterruptedRunError:
            store.hurry()
            raise
        finally:
            with suppress(KizamiError):
                if ended(store, place) is not None:  # else it can still be made: the store was away, say
                    remove_submission(store, place)


def _perform(parsed: argparse.Namespace, config: Config, request: Any, interruption: Interruption) -> Answer:
    with _jobs_extra():
        # Imported here: reading needs no Ray, and importing it takes a second.
        from kizami_jobs.daily import RunResult, run_corpus  # noqa: PLC0415

    result: RunResult = run_corpus(
        config, request, _progress(parsed), address=os.environ.get("RAY_ADDRESS"), interruption=interruption
    )
    return Answer(_run_text(result), {"run": asdict(result.entry), "snapshot": asdict(result.pointer)})


def _plan(parsed: argparse.Namespace) -> Answer:
    config = load_config(parsed.config)
    config.corpus(parsed.corpus)
    with _jobs_extra():
        from kizami_jobs.planning import plan_corpus  # noqa: PLC0415
        from kizami_jobs.request import RunRequest  # noqa: PLC0415
    renewal = EVERYTHING if parsed.full else NOTHING
    request = RunRequest(parsed.corpus, parsed.date, as_of_now=parsed.as_of_now, renewal=renewal)
    interruption = Interruption()
    with interruption.watching():
        plan = plan_corpus(
            config, request, _progress(parsed), address=os.environ.get("RAY_ADDRESS"), interruption=interruption
        )
    return Answer(render_plan(plan), asdict(plan))


def _progress(parsed: argparse.Namespace) -> Any:
    """What stderr is told of a run."""
    from kizami_jobs.json_progress import JsonProgress  # noqa: PLC0415
    from kizami_jobs.progress import Progress  # noqa: PLC0415

    return JsonProgress(JsonLog()) if parsed.log == "json" else Progress(sys.stderr)


@contextmanager
def _jobs_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is not installed: running the job needs pip install 'kizami[jobs]'"
        ) from error


def _run_text(result: RunResult) -> str:  # type: ignore[name-defined]  # noqa: F821  # imported where it is needed
    counts, pointer = result.entry.counts, result.pointer
    folder = "\n".join(f"{result.store}/{pointer.in_schema(schema).path}" for schema in result.entry.schemas)
    if result.entry.state == "unchanged":
        return f"nothing to do: {pointer.date} is published from the same input\n{folder}"
    candidate = result.entry.state == "candidate"
    text = (
        f"{'candidate of' if candidate else 'published'} {pointer.date}: "
        f"{counts.documents:,} documents, {counts.rows:,} rows, {counts.tokens:,} tokens, "
        f"{counts.quarantined:,} quarantined\n"
        f"texts: {counts.texts_analysed:,} analysed, {counts.texts_reused:,} reused; "
        f"parts: {counts.parts_analysed:,} written, {counts.parts_copied:,} copied, "
        f"{counts.parts_reused:,} found finished\n{folder}"
    )
    return f"{text}\n{next_steps(pointer, result.entry.gates)}" if candidate else text


def _add_date_arguments(parser: argparse.ArgumentParser, *, or_all: bool = False) -> None:
    if or_all:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("corpus", metavar="CORPUS", nargs="?", help="name of the corpus in the configuration")
        which.add_argument("--all", action="store_true", help="every corpus of the configuration, one after another")
        add_config(parser)
    else:
        add_corpus(parser)
    parser.add_argument(
        "--date", type=business_date, metavar="D", help="business date (default: today in the configured time zone)"
    )
    parser.add_argument(
        "--as-of-now", action="store_true", help="take today's source for --date, though it is not that date's"
    )


def _add_candidate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--candidate", action="store_true", help="stop before the commit: look at the snapshot first, publish it later"
    )


def _add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    _add_date_arguments(parser)
    parser.add_argument("--full", action="store_true", help="what `run --full` would do")


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    _add_date_arguments(parser, or_all=True)
    add_wait(parser)
    parser.add_argument("--full", action="store_true", help="analyse everything again, whatever is known of it")
    _add_candidate(parser)
    parser.add_argument("--allow-empty", action="store_true", help="publish a corpus without texts")
    parser.add_argument(
        "--submission", metavar="URL", help="make the run that `kizami submit` left there; all else is in it"
    )


def _submit(parsed: argparse.Namespace) -> Answer:
    with _jobs_extra():
        return submit_verb.submit(parsed)


def _add_submit_arguments(parser: argparse.ArgumentParser) -> None:
    _add_date_arguments(parser)
    submit_verb.add_arguments(parser)


def _add_reprocess_arguments(parser: argparse.ArgumentParser) -> None:
    _add_date_arguments(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--id", nargs="+", action="extend", metavar="ID", help="the documents with these ids")
    what.add_argument("--ids-file", type=Path, metavar="F", help="the documents with the ids in a file, one a line")
    what.add_argument("--field", metavar="F", help="all texts of this field")
    what.add_argument("--everything", action="store_true", help="all texts")
    _add_candidate(parser)


VERBS: Final = (
    Verb("run", "analyse a corpus on Ray and publish its snapshot: the daily job", _add_run_arguments, _run),
    Verb("plan", "tell what a run would do, and write nothing", _add_plan_arguments, _plan),
    Verb("reprocess", "analyse texts again though they did not change", _add_reprocess_arguments, _reprocess),
    Verb("submit", "make a run, or reprocess, as a job on a Ray cluster", _add_submit_arguments, _submit),
    *READING_VERBS,
    *UPKEEP_VERBS,
    *MONITORING_VERBS,
    SCHEDULE_VERB,
)
