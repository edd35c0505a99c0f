"""A full disk, or nobody, behind stdout and stderr: the command says what it can, and ends with its own exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.published import CORPUS, Published

FULL = Path("/dev/full")
KIZAMI = [sys.executable, "-c", "import sys; from kizami_jobs.cli import main; sys.exit(main())"]

needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full, a disk without space, is Linux's")


@pytest.fixture
def config(tmp_path: Path, local_snapshot: Published) -> str:
    """A corpus with a snapshot, and one without."""
    path = tmp_path / "kizami.toml"
    corpora = "".join(f'[corpora.{name}]\nsource = "x.jsonl"\nid = "id"\nfields = ["t"]\n' for name in (CORPUS, "none"))
    path.write_text(f'store = "{local_snapshot.store}"\n{corpora}', "utf-8")
    return str(path)


def kizami(
    redirection: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command as a shell starts it with a redirection."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *KIZAMI, *arguments]
    environment = {**os.environ, **(environment or {})}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@needs_full
@pytest.mark.parametrize("log", ["text", "json"])
@pytest.mark.parametrize(("corpus", "code"), [(CORPUS, 0), ("none", 65)])
def test_a_log_that_cannot_be_written_fails_nothing(config: str, corpus: str, code: int, log: str) -> None:
    """A disk full of logs is no reason not to publish, nor for another exit code."""
    done = kizami(f"2>{FULL}", "path", corpus, "--config", config, environment={"KIZAMI_LOG": log})
    assert done.returncode == code
    assert bool(done.stdout) == (code == 0)


@needs_full
def test_an_answer_that_cannot_be_written_is_told(config: str) -> None:
    """In one line, with 69: who reads the file has nothing in it."""
    done = kizami(f">{FULL}", "path", CORPUS, "--config", config)
    assert (done.returncode, done.stderr.count("\n")) == (69, 1)
    assert done.stderr.startswith("kizami: what was asked for is done, but stdout does not take the answer: No space")


@pytest.mark.parametrize("redirection", ["2>&-", ">&-", ">&- 2>&-"])
def test_a_command_without_a_stream_prints_nothing_to_the_other(config: str, redirection: str) -> None:
    """As some daemons start theirs."""
    done = kizami(redirection, "path", "none", "--config", config)
    assert (done.returncode, done.stdout) == (65, "")
    assert done.stderr.startswith("kizami: no snapshot of corpus") == ("2>&-" not in redirection)
    done = kizami(redirection, "path", CORPUS, "--json", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
