"""The runbook of the README: every alert and every exit code has a line, and a command that there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from kizami.cli import build_parser
from kizami.errors import KizamiError
from kizami.notices import Kind
from kizami.punctuality import Outcome
from kizami_jobs.cli import VERBS

PROJECT = Path(__file__).parent.parent.parent
PAGES = [("README.md", "### Runbook", "## What is in the store"), ("README.ja.md", "### 運用手引き", "## ストアの中身")]
SILENT = frozenset({"0"})
"""Exit codes after which there is nothing to type."""


def rows(page: str, start: str, end: str) -> dict[str, str]:
    """The runbook's tables: what stands in the first column, and the last column."""
    text = (PROJECT / page).read_text("utf-8")
    section = text[text.index(f"\n{start}\n") : text.index(f"\n{end}\n")]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return {cells[0].strip().strip("`"): cells[-1].strip() for cells in lines if len(cells) == 3}


def exit_codes(error: type[KizamiError] = KizamiError) -> Iterator[int]:
    """Of every error; some have that of a signal or of another process, which they know when they are made."""
    if isinstance(error.exit_code, int):
        yield error.exit_code
    for child in error.__subclasses__():
        yield from exit_codes(child)


@pytest.mark.parametrize(("page", "start", "end"), PAGES, ids=lambda value: value if "README" in value else "")
def test_the_runbook_has_every_alert_and_exit_code(page: str, start: str, end: str) -> None:
    """Those of checks, of the webhook, of the errors, of argparse, signals and time-outs."""
    found = rows(page, start, end)
    codes = {code for name in found for code in re.split(r", ", name) if code.isdecimal()}
    assert codes == {str(code) for code in {0, 1, 2, 124, 129, 130, 143, *exit_codes()}}
    alerts = {str(outcome) for outcome in Outcome if not outcome.is_well} | {str(Kind.RECOVERED)}
    assert alerts - set(found) == set()


@pytest.mark.parametrize(("page", "start", "end"), PAGES, ids=lambda value: value if "README" in value else "")
def test_every_line_of_the_runbook_has_a_command(page: str, start: str, end: str) -> None:
    """One that can be typed as it stands, but for the name of a snapshot."""
    parser = build_parser(VERBS)
    for name, cell in list(rows(page, start, end).items()):
        commands = re.findall(r"`kizami ([^`]+)`", cell)
        assert bool(commands) == (name not in {*SILENT, "alert", "code", "警告", "コード"}), name
        for command in commands:
            words = shlex.split(command)
            assert words == ["VERB", "--help"] or parser.parse_args(words), command
