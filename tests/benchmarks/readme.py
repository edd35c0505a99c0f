"""The READMEs' figures: what stands between two marks is replaced by a report."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.report import ENGLISH, JAPANESE, Record, Words, markdown

BEGIN: Final = "<!-- bench: make bench-readme writes what follows -->\n"
END: Final = "<!-- bench: end -->\n"
_READMES: Final[dict[str, Words]] = {"README.md": ENGLISH, "README.ja.md": JAPANESE}


def refresh(project: Path, record: Record) -> list[Path]:
    """Put a record into the project's READMEs; return them.

    Raises ValueError for a record of a trial, whose sizes are not those the targets speak of, and for a README without
    the marks; then nothing is changed.
    """
    if not record["settings"]["full"]:
        raise ValueError("this was a trial with other sizes or without the whole runs: run `make bench` first")
    changed = {
        project / name: _replaced(project / name, BEGIN, END, markdown(record, words))
        for name, words in _READMES.items()
    }
    for path, content in changed.items():
        path.write_text(content, "utf-8")
    return list(changed)


def put_between(path: Path, begin: str, end: str, report: str) -> None:
    """Replace what stands between two marks of a file. Raises ValueError for a file without them."""
    path.write_text(_replaced(path, begin, end, report), "utf-8")


def _replaced(path: Path, begin: str, end: str, report: str) -> str:
    before, first, rest = path.read_text("utf-8").partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ValueError(f"{path.name} has not the two marks {begin.strip()} and {end.strip()}")
    return before + begin + report + end + after
