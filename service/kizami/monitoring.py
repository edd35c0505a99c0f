"""The verb for those who watch from outside: ``check``."""

from __future__ import annotations

import argparse
import datetime as dt
import re
from dataclasses import asdict
from typing import Final

from kizami.aftermath import after_check
from kizami.cli import Answer, Verb, add_corpus, business_date, say
from kizami.config import load_config
from kizami.punctuality import judge, look
from kizami.record import now
from kizami.stores import open_store, require_folder


def time_of_day(value: str) -> dt.time:
    """A time as people write it on the command line, from 00:00 to 23:59."""
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value)
    if not match:
        raise argparse.ArgumentTypeError(f"{value!r} is no time of day; write it as 06:00")
    return dt.time(int(match[1]), int(match[2]))


def _check(parsed: argparse.Namespace) -> Answer:
    config = load_config(parsed.config)
    corpus = config.corpus(parsed.corpus)
    require_folder(config.store)
    store, moment = open_store(config.store), now()
    date = parsed.date or moment.astimezone(config.timezone).date()
    answer = judge(look(store, corpus.name, date.isoformat(), say=say), corpus, parsed.by, config.timezone, moment)
    after_check(config, store, say, answer)
    data = {**asdict(answer), "outcome": answer.outcome.name.lower(), "line": str(answer)}
    return Answer(str(answer), data, exit_code=0 if answer.outcome.is_well else 1)


def _add_check_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpus(parser)
    parser.add_argument(
        "--by",
        type=time_of_day,
        metavar="HH:MM",
        help="when it has to be there, in the configured time zone (default: now)",
    )
    parser.add_argument(
        "--date", type=business_date, metavar="D", help="business date (default: today in the configured time zone)"
    )


MONITORING_VERBS: Final = (
    Verb("check", "tell a monitor whether today's snapshot is there, and if not, why", _add_check_arguments, _check),
)
