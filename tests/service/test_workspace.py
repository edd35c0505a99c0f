"""Temporary folders: what a process that was killed left in them does not stay."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kizami.workspace import sweep, workspace

HOLD = """
from kizami.workspace import workspace
with workspace() as folder:
    (folder / "part").touch()
    print(folder, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which this process and those it starts make theirs."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_workspace_goes_with_its_context(parent: Path) -> None:
    """With all that is in it."""
    with workspace() as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "part.parquet").touch()
        assert folder.parent == parent
    assert list(parent.iterdir()) == []


def test_only_what_the_dead_left_is_swept(parent: Path) -> None:
    """The folder of a process that lives stays, that of one that was killed goes, and nothing of another name."""
    (parent / "kizami-other").mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().decode().strip())
        sweep(parent)
        assert [each.name for each in folder.iterdir()] == ["part"]
        process.kill()
        process.wait()
        assert folder.is_dir()
        sweep(parent)
    assert [each.name for each in parent.iterdir()] == ["kizami-other"]


def test_a_process_sweeps_before_it_makes_its_first(parent: Path) -> None:
    """Once for each folder of temporary files."""
    left = parent / "kizami-work-left"
    left.mkdir()
    with workspace() as folder:
        assert list(parent.iterdir()) == [folder]
    left.mkdir()
    with workspace():
        assert left.is_dir()
