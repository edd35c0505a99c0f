"""``kizami submit``: the same run, or reprocess, as a job on a cluster. Imports Ray only when it is called."""

from __future__ import annotations

import argparse
import socket
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from kizami import layout
from kizami.aftermath import after_run
from kizami.cli import Answer, add_wait
from kizami.config import Config, CorpusConfig, load_config, read_config
from kizami.errors import ConfigurationError, InterruptedRunError, KizamiError
from kizami.ledger import Ledger, RunEntry, State
from kizami.log import EventStream, JsonLog, without_credentials
from kizami.record import new_id, now, timestamp
from kizami.renewal import EVERYTHING, NOTHING, Renewal, read_ids, renewal_of
from kizami.signals import Interruption
from kizami.stores import open_store
from kizami.submission import Place, Submission, remove_submission, write_submission


def submit(parsed: argparse.Namespace) -> Answer:
    """Submit a run, and wait for it unless told otherwise."""
    from kizami.analysis.user_dictionary import read_user_dictionary  # noqa: PLC0415
    from kizami_jobs.jobs_api import JobsApi  # noqa: PLC0415
    from kizami_jobs.request import RunRequest, business_date, check_field  # noqa: PLC0415
    from kizami_jobs.submit import Waiting, command  # noqa: PLC0415

    config = load_config(parsed.config)
    corpus = config.corpus(parsed.corpus)
    verb, renewal = _asked(parsed)
    check_field(renewal, corpus)
    moment = now()
    request = RunRequest(corpus.name, parsed.date, as_of_now=parsed.as_of_now)
    day = business_date(request, corpus, moment.astimezone(config.timezone).date())
    for each in config.corpora.values():  # the whole file goes into the store
        _refuse_credentials(each)
    said = _Said(parsed.log)
    api = JobsApi(parsed.address)
    user = read_user_dictionary(corpus.user_dictionary) if corpus.user_dictionary else None
    submission = Submission(
        run=new_id(moment),
        corpus=corpus.name,
        date=day.isoformat(),
        configuration=read_config(parsed.config),
        folder=str(parsed.config.resolve().parent),
        submitted_at=timestamp(moment),
        verb=verb,
        as_of_now=parsed.as_of_now,
        allow_empty=parsed.allow_empty,
        candidate=parsed.candidate,
        renewal=renewal,
        wait_seconds=parsed.wait,
        words=user.location if user else None,
    )
    store, place = open_store(config.store), Place(config.store, corpus.name, submission.run)
    options = ("--log", "json", "--json") if parsed.log == "json" else ()
    interruption = Interruption()
    with interruption.watching():  # from here on a signal must not hide that there is a job
        write_submission(store, submission, user)
        try:
            what = f"{verb} {corpus.name} {day} from {socket.gethostname()}"
            api.start(submission.run, command(place, *options), {"kizami": what})
        except KizamiError:
            remove_submission(store, place)  # so that a job that was started all the same does nothing
            raise
        said.line(f"submitted run {submission.run}: {verb} of corpus {corpus.name}, business date {day}, to {api.url}")
        if parsed.no_wait:
            return _on_its_way(submission, api.url)
        try:
            entry = Waiting(api, store, config, place, show=said.log, say=said.line, interruption=interruption).wait()
        except InterruptedRunError:
            store.hurry()
            raise
        finally:
            # Alarms and figures are set up where jobs are submitted from, as a rule, and not on the cluster's hosts.
            with suppress(KizamiError):
                ended = Ledger(store, corpus.name).find(submission.run)
                if ended is not None and ended.ended_at is not None:
                    after_run(config, store, said.line, ended)
    return _arrived(config, entry)


def _refuse_credentials(corpus: CorpusConfig) -> None:
    """Raise ConfigurationError where a URL holds any. That of a database was refused when it was read."""
    urls = [corpus.ready or "", "" if corpus.database else corpus.source]
    if any(without_credentials(url) != url for url in urls):
        raise ConfigurationError(f"the source of {corpus.name} holds credentials: leave them to AWS's own chain")


def _asked(parsed: argparse.Namespace) -> tuple[str, Renewal]:
    """The verb and what is to be analysed again. Raises ConfigurationError, DataError."""
    ids = read_ids(parsed.ids_file) if parsed.ids_file else parsed.id or []
    if not (ids or parsed.field or parsed.everything):
        return "run", EVERYTHING if parsed.full else NOTHING
    if parsed.allow_empty:
        raise ConfigurationError("--allow-empty is of `run`, not of `reprocess`: leave it out")
    return "reprocess", renewal_of(parsed.everything, parsed.field, ids)


def _on_its_way(submission: Submission, url: str) -> Answer:
    text = (
        f"`ray job logs --follow --address {url} {submission.run}` shows its log, "
        f"`kizami history {submission.corpus}` what becomes of it"
    )
    data = {"run": submission.run, "verb": submission.verb, "corpus": submission.corpus, "date": submission.date}
    return Answer(f"{submission.run}\n{text}", {"submitted": {**data, "address": url}})


def _arrived(config: Config, entry: RunEntry) -> Answer:
    text = f"{entry.verb} {entry.run}: {entry.state} {entry.date}, {entry.counts.rows:,} rows"
    path = None
    if entry.snapshot is not None:
        path = f"{config.store}/{layout.snapshot_prefix(entry.corpus, entry.snapshot)}"
        text = f"{text}\n{path}"
    if entry.state is State.UNCHANGED:
        text = text.replace(f", {entry.counts.rows:,} rows", ": nothing to do", 1)
    return Answer(text, {"run": asdict(entry), "path": path})


class _Said:
    """What stderr is told: the job's log as it comes, and lines of our own."""

    def __init__(self, form: str) -> None:
        self._events = JsonLog() if form == "json" else None
        self._log = EventStream(self._events) if self._events else sys.stderr

    def log(self, text: str) -> None:
        """More of the job's log."""
        self._log.write(text)
        self._log.flush()

    def line(self, line: str) -> None:
        """One line of news."""
        if self._events:
            self._events.event("message", message=line)
        else:
            print(line, file=sys.stderr, flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``submit`` takes beside corpus and date."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--full", action="store_true", help="analyse everything again, whatever is known of it")
    what.add_argument("--id", nargs="+", action="extend", metavar="ID", help="reprocess the documents with these ids")
    what.add_argument("--ids-file", type=Path, metavar="F", help="reprocess the documents with the ids in a file")
    what.add_argument("--field", metavar="F", help="reprocess all texts of this field")
    what.add_argument("--everything", action="store_true", help="reprocess all texts")
    parser.add_argument("--candidate", action="store_true", help="stop before the commit")
    parser.add_argument("--allow-empty", action="store_true", help="publish a corpus without texts")
    parser.add_argument(
        "--address",
        metavar="URL",
        help="the cluster's dashboard, http://HEAD:8265 (default: RAY_API_SERVER_ADDRESS, then RAY_ADDRESS)",
    )
    add_wait(parser)
    parser.add_argument("--no-wait", action="store_true", help="do not wait for its end; the run's id on stdout")
