"""Reports in the READMEs: those of the benchmarks and of the faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import REPORT as BENCHMARKS
from faults.report import REPORT as FAULTS
from support.reports import PROJECT, Report, table

LINES = Report("lines", "one", "一", lambda record, word: f"{word}: {record['n']}\n", lambda record: record.get("why"))


@pytest.mark.parametrize("report", [BENCHMARKS, FAULTS], ids=["bench", "faults"])
def test_the_projects_readmes_have_the_marks(report: Report[Any]) -> None:
    """So that `make bench-readme` and `make faults-readme` find their places."""
    for name in ("README.md", "README.ja.md"):
        content = (PROJECT / name).read_text("utf-8")
        assert (content.count(report.begin), content.count(report.end)) == (1, 1)


def test_a_record_is_written_twice_and_put_into_both_readmes(tmp_path: Path) -> None:
    """As JSON and in English; each README has it in its language, and nothing is changed where one lacks the marks."""
    assert LINES.write(tmp_path / "out", {"n": 3}) == "one: 3\n"
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json", ".md"]
    for name in ("README.md", "README.ja.md"):
        (tmp_path / name).write_text(f"a\n{LINES.begin}old\n{LINES.end}b\n", "utf-8")
    LINES.refresh(tmp_path, {"n": 4})
    assert (tmp_path / "README.ja.md").read_text("utf-8") == f"a\n{LINES.begin}一: 4\n{LINES.end}b\n"
    (tmp_path / "README.ja.md").write_text("no marks", "utf-8")
    with pytest.raises(ValueError, match=r"README\.ja\.md has not the two marks"):
        LINES.refresh(tmp_path, {"n": 5})
    with pytest.raises(ValueError, match="a trial"):
        LINES.refresh(tmp_path, {"n": 5, "why": "a trial"})
    assert "one: 4" in (tmp_path / "README.md").read_text("utf-8")


def test_the_newest_record_is_told_from_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without records names the command that makes one."""
    assert LINES.refresh_with_newest(tmp_path) == 1
    assert "run `make lines` first" in capsys.readouterr().err


def test_a_table_has_a_ruler() -> None:
    """As Markdown wants it."""
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n|---|---|\n| 1 | 2 |"
