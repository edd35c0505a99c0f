"""Reports: a record of figures written down as JSON and as Markdown, and put into the READMEs between two marks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

PROJECT: Final = Path(__file__).resolve().parents[2]
Record = Mapping[str, Any]
Words = TypeVar("Words")


@dataclass(frozen=True, slots=True)
class Report(Generic[Words]):
    """One kind of report, in English and Japanese."""

    name: str
    """Of the files, the marks and the targets of make."""
    english: Words
    japanese: Words
    markdown: Callable[[Record, Words], str]
    """A record in the words of one language, without a heading."""
    refusal: Callable[[Record], str | None]
    """Why a record is not for the READMEs; None where it is."""

    @property
    def begin(self) -> str:
        """The mark before it in a README."""
        return f"<!-- {self.name}: make {self.name}-readme writes what follows -->\n"

    @property
    def end(self) -> str:
        """The mark behind it."""
        return f"<!-- {self.name}: end -->\n"

    def write(self, folder: Path, record: Record) -> str:
        """Write a record into a folder, under the time it is now, and return it in English."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        path.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
        report = self.markdown(record, self.english)
        path.with_suffix(".md").write_text(report, "utf-8")
        return report

    def refresh(self, project: Path, record: Record) -> list[Path]:
        """Put a record into the project's READMEs; return them.

        Raises ValueError for a record that is not for them and for a README without the marks; then nothing is changed.
        """
        if refusal := self.refusal(record):
            raise ValueError(refusal)
        words = {project / "README.md": self.english, project / "README.ja.md": self.japanese}
        changed = {path: self._replaced(path, self.markdown(record, own)) for path, own in words.items()}
        for path, content in changed.items():
            path.write_text(content, "utf-8")
        return list(changed)

    def refresh_with_newest(self, folder: Path) -> int:
        """Put the newest record of a folder into this project's READMEs, and say so; the exit code."""
        records = sorted(folder.glob(f"{self.name}-*.json"))
        if not records:
            print(f"{folder} has no results: run `make {self.name}` first", file=sys.stderr)
            return 1
        try:
            changed = self.refresh(PROJECT, json.loads(records[-1].read_text("utf-8")))
        except ValueError as error:
            print(f"{records[-1].name}: {error}", file=sys.stderr)
            return 1
        print(f"{', '.join(path.name for path in changed)} from {records[-1].name}")
        return 0

    def _replaced(self, path: Path, report: str) -> str:
        before, first, rest = path.read_text("utf-8").partition(self.begin)
        _, last, after = rest.partition(self.end)
        if not (first and last):
            raise ValueError(f"{path.name} has not the two marks {self.begin.strip()} and {self.end.strip()}")
        return before + first + report + last + after


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown, without a final line end."""
    first, *others = [f"| {' | '.join(line)} |" for line in (heads, *rows)]
    return "\n".join([first, "|" + "---|" * len(heads), *others])
