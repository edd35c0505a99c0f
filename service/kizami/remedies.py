"""Remedies: what to type when a run went wrong or is missing. Plain values in, one command line out."""

from __future__ import annotations

from datetime import date as Date  # noqa: N812  # `date` is the name of every business date here

from kizami.config import CorpusConfig
from kizami.errors import KizamiError
from kizami.ledger import RunEntry, State


def run_again(corpus: CorpusConfig, date: str, today: Date) -> str:
    """The command that makes the snapshot of a business date, whatever is there of it."""
    command = f"kizami run {corpus.name}"
    if date == today.isoformat():
        return command
    return f"{command} --date {date}" + ("" if corpus.dated else " --as-of-now")


def after(entry: RunEntry, corpus: CorpusConfig, today: Date) -> str:
    """The command that follows on what became of a run."""
    if entry.state is State.HELD and entry.snapshot:
        return f"kizami diff {corpus.name} latest {entry.snapshot}"
    if entry.state is State.CANDIDATE and entry.snapshot:
        return f"kizami publish {corpus.name} {entry.snapshot}"
    again = run_again(corpus, entry.date, today)
    return f"{again} --debug" if entry.exit_code == KizamiError.exit_code else again


def newest_run(corpus: str) -> str:
    """The command that shows how far the newest run is."""
    return f"kizami history {corpus} --limit 1"
