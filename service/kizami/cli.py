"""The command line: parse, load the configuration, one call, print, exit code.

A verb is a function from the parsed arguments to an :class:`Answer`. The verbs here need only what a reader installs;
``kizami_jobs.cli`` adds those that run the job.
"""

from __future__ import annotations

import argparse
import atexit
import datetime as dt
import gc
import io
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from kizami import standard_streams
from kizami.config import Config, duration, load_config
from kizami.diff_text import render_diff
from kizami.documents import read_document, render_document
from kizami.errors import ConfigurationError, KizamiError, UnavailableError
from kizami.ledger import Ledger, RunEntry, State
from kizami.log import EventHandler, JsonLog
from kizami.readers import document_path, snapshot_glob, snapshot_path
from kizami.snapshot_diff import diff_snapshots
from kizami.stores import open_store, require_folder
from kizami_schemas import v1
from kizami_schemas.compatibility import Column, IncompatibleSchemaError, check_compatible, describe, frozen
from kizami_schemas.documentation import render_markdown


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb answers, once for people and once for programs."""

    text: str
    data: dict[str, Any]
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: its name, its line of help, its arguments, what it does."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    perform: Callable[[argparse.Namespace], Answer]


LOGS: Final = ("text", "json")


def main(verbs: Sequence[Verb], arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code. A usage error raises SystemExit(2), as argparse does."""
    standard_streams.secure()
    # At its end, Python looks through all that was ever imported for garbage, twice: a quarter of a second of a run.
    atexit.register(gc.freeze)
    parser = build_parser(verbs)
    parsed = parser.parse_args(arguments)
    if parsed.log not in LOGS:  # argparse does not look at a default
        parser.error(f"KIZAMI_LOG is {parsed.log!r}; it is one of {', '.join(LOGS)}")
    with _python_log(parsed):
        return _perform(parsed)


def _perform(parsed: argparse.Namespace) -> int:
    try:
        answer: Answer = parsed.perform(parsed)
    except KizamiError as error:
        return _report(parsed, error, error.exit_code, str(error))
    except KeyboardInterrupt as error:
        return _report(parsed, error, 130, "interrupted")
    except Exception as error:  # the last resort: a bug is reported as one
        message = f"{type(error).__name__}: this is a bug in kizami; --debug shows where, please report it"
        return _report(parsed, error, KizamiError.exit_code, message)
    try:
        _print(_json(answer.data) if parsed.json else answer.text)
    except OSError as error:
        message = f"what was asked for is done, but stdout does not take the answer: {error.strerror}; see to its disk"
        return _report(parsed, error, answer.exit_code or UnavailableError.exit_code, message)
    return answer.exit_code


def build_parser(verbs: Sequence[Verb]) -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="kizami", description="Japanese text analysed once a day, for everyone.")
    parser.add_argument("--version", action="version", version=f"kizami {version('kizami')}")
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in verbs:
        subparser = subparsers.add_parser(verb.name, help=verb.help, description=verb.help)
        verb.add_arguments(subparser)
        subparser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
        subparser.add_argument("--debug", action="store_true", help="print the traceback of an error")
        subparser.add_argument(
            "--log",
            choices=LOGS,
            default=os.environ.get("KIZAMI_LOG") or "text",
            help="what stderr is written for: text for people, json for programs (default: $KIZAMI_LOG, else text)",
        )
        subparser.set_defaults(perform=verb.perform)
    return parser


def add_corpus(parser: argparse.ArgumentParser) -> None:
    """Add CORPUS and --config."""
    parser.add_argument("corpus", metavar="CORPUS", help="name of the corpus in the configuration")
    add_config(parser)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add --config."""
    parser.add_argument(
        "--config", type=Path, default=Path("kizami.toml"), metavar="FILE", help="configuration (default: kizami.toml)"
    )


def business_date(value: str) -> dt.date:
    """A date as people write it on the command line, in a year that all time zones and the days around it have."""
    try:
        date = dt.date.fromisoformat(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is no date; write it as 2026-11-23") from None
    if not dt.MINYEAR < date.year < dt.MAXYEAR:
        raise argparse.ArgumentTypeError(f"{value!r} is no business date; write it as 2026-11-23")
    return date


def say(line: str) -> None:
    """A line of news on stderr."""
    print(line, file=sys.stderr, flush=True)


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add --wait."""
    parser.add_argument(
        "--wait",
        type=_time,
        default=0.0,
        metavar="TIME",
        help="wait so long (90s, 30m, 2h) for a source that is not there yet",
    )


def _time(value: str) -> float:
    try:
        return duration(value, "the time")
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value) == 0:
        raise argparse.ArgumentTypeError(f"{value!r} is no number above 0; write it as 20")
    return min(int(value), sys.maxsize)


def _report(parsed: argparse.Namespace, error: BaseException, exit_code: int, message: str) -> int:
    if parsed.debug:
        traceback.print_exception(error)
    one_line = " ".join(message.split())
    if parsed.log == "json":
        JsonLog().event("error", "error", error=type(error).__name__, message=one_line, exit_code=exit_code)
    else:
        print(f"kizami: {one_line}", file=sys.stderr)
    if parsed.json:
        details = error.details if isinstance(error, KizamiError) else {}
        _print(_json({"error": type(error).__name__, "message": one_line, "exit_code": exit_code, **details}))
    return exit_code


@contextmanager
def _python_log(parsed: argparse.Namespace) -> Iterator[None]:
    """While a verb runs: Python's own log as events, too, where stderr is for programs."""
    if parsed.log == "text":
        yield
        return
    handler = EventHandler(JsonLog())
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def _json(data: dict[str, Any]) -> str:
    # Escapes where the terminal's encoding lacks the characters: what a program reads has to stay JSON.
    return json.dumps(data, ensure_ascii=not (sys.stdout.encoding or "").lower().startswith("utf"))


def _print(text: str) -> None:
    """Print to stdout, whatever its encoding, and without a complaint where nobody reads any more."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left in the buffer would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise


def _configured(parsed: argparse.Namespace) -> Config:
    config = load_config(parsed.config)
    config.corpus(parsed.corpus)
    return config


def _path(parsed: argparse.Namespace) -> Answer:
    config = _configured(parsed)
    path = snapshot_path(config.store, parsed.corpus, parsed.date, parsed.schema)
    glob = snapshot_glob(config.store, parsed.corpus, parsed.date, parsed.schema)
    return Answer(glob if parsed.glob else path, {"path": path, "glob": glob})


def _add_path_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    parser.add_argument("--date", type=business_date, metavar="D", help="business date (default: the newest)")
    parser.add_argument(
        "--schema", type=_positive, default=1, metavar="N", help="major version of the schema (default: 1)"
    )
    parser.add_argument("--glob", action="store_true", help="print the pattern that polars and DuckDB want")


def _show(parsed: argparse.Namespace) -> Answer:
    config = _configured(parsed)
    rows = read_document(config.store, parsed.corpus, parsed.doc_id, parsed.date)
    path = document_path(config.store, parsed.corpus, parsed.doc_id, parsed.date)
    return Answer(render_document(rows), {"path": path, "rows": rows.to_pylist()})


def _add_show_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    parser.add_argument("doc_id", metavar="DOC_ID", help="id of the document")
    parser.add_argument("--date", type=business_date, metavar="D", help="business date (default: the newest)")


def _history(parsed: argparse.Namespace) -> Answer:
    config = _configured(parsed)
    require_folder(config.store)
    entries = Ledger(open_store(config.store), parsed.corpus).history(parsed.limit, say)
    lines = [_history_line(entry) for entry in entries] or [f"no runs of {parsed.corpus} yet"]
    return Answer("\n".join(lines), {"corpus": parsed.corpus, "runs": [asdict(entry) for entry in entries]})


def _history_line(entry: RunEntry) -> str:
    counts = entry.counts
    exit_code = "-" if entry.exit_code is None else entry.exit_code
    line = f"{entry.started_at}  {entry.date}  {entry.verb:<9}  {entry.state:<11}  exit {exit_code:<3}"
    line += f"  {counts.rows:>10,} rows  {counts.texts_analysed:>10,} analysed  {counts.texts_reused:>10,} reused"
    line += f"  {counts.parts_copied:>6,} of {counts.parts:>6,} parts copied  {counts.quarantined:>6,} quarantined"
    line += f"  {sum(entry.stage_seconds.values()):7.1f} s  {entry.run}"
    return "\n    ".join([line, *_history_details(entry)])


def _history_details(entry: RunEntry) -> Iterator[str]:
    if entry.quarantined_by_reason:
        yield "quarantined: " + ", ".join(
            f"{count:,} {reason}" for reason, count in entry.quarantined_by_reason.items()
        )
    for failed in entry.failed_attempts:
        yield f"{'' if failed.part is None else f'part {failed.part} '}tried again: {failed.what}"
    if entry.late_since:
        yield f"late since {entry.late_since}"
    if len(entry.schemas) > 1:
        yield f"schema versions: {', '.join(map(str, entry.schemas))}"
    if entry.outcome:
        yield entry.outcome
    if entry.state is State.CANDIDATE:
        yield f"candidate {entry.snapshot}"
    if entry.error:
        yield f"{entry.error.name} at {entry.stage}: {entry.error.message}"


def _add_history_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    parser.add_argument("--limit", type=_positive, default=20, metavar="N", help="the newest N runs (default: 20)")


def _diff(parsed: argparse.Namespace) -> Answer:
    config = _configured(parsed)
    with _percent("compared") as progress:
        diff = diff_snapshots(config.store, parsed.corpus, parsed.a, parsed.b, limit=parsed.limit, progress=progress)
    return Answer(render_diff(diff), asdict(diff))


@contextmanager
def _percent(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal how many rows are done, in place, and wipe it at the end; elsewhere nothing."""
    shown = ""

    def progress(done: int, whole: int) -> None:
        nonlocal shown
        line = f"{what} {100 * done // max(whole, 1)} % of {whole:,} rows"
        if line != shown and sys.stderr.isatty():
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
            shown = line

    try:
        yield progress
    finally:
        if shown:
            print("\r" + " " * len(shown) + "\r", end="", file=sys.stderr, flush=True)


def _add_diff_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    for name, which in (("a", "the old snapshot"), ("b", "the new one")):
        parser.add_argument(name, metavar=name.upper(), help=f"{which}: its id, a business date or the word latest")
    parser.add_argument(
        "--limit", type=_positive, default=10, metavar="N", help="the first N ids, the N most frequent (default: 10)"
    )


def _schema(parsed: argparse.Namespace) -> Answer:
    if parsed.action == "check":
        return check_schema(frozen(v1.MAJOR), v1.SCHEMA)
    return Answer(render_markdown(v1.MAJOR, v1.MINOR, v1.SCHEMA).rstrip(), _described(v1.SCHEMA))


def check_schema(published: list[Column], schema: pa.Schema) -> Answer:
    """Whether ``schema`` keeps what the published version 1 promised; the exit code is 1 where it does not."""
    try:
        added = check_compatible(published, describe(schema))
    except IncompatibleSchemaError as error:
        text = f"schema v{v1.MAJOR} is not what was published: {error}"
        return Answer(text, {**_described(schema), "error": str(error)}, exit_code=1)
    news = f"; new: {', '.join(added)}" if added else ""
    text = f"schema v{v1.MAJOR}.{v1.MINOR} keeps what v{v1.MAJOR} promised{news}"
    return Answer(text, {**_described(schema), "added": added})


def _described(schema: pa.Schema) -> dict[str, Any]:
    return {"schema": f"{v1.MAJOR}.{v1.MINOR}", "columns": describe(schema)}


def _add_schema_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("show", "check"), default="show", help="show it, or check it")
    add_config(parser)


READING_VERBS: Final = (
    Verb("path", "print the folder of a snapshot, for pd.read_parquet", _add_path_arguments, _path),
    Verb("show", "print a document's tokens", _add_show_arguments, _show),
    Verb("diff", "print what changed between two snapshots", _add_diff_arguments, _diff),
    Verb("history", "print the ledger: what became of each run", _add_history_arguments, _history),
    Verb(
        "schema",
        "print the schema, or check it against its frozen version",
        _add_schema_arguments,
        _schema,
    ),
)
