"""The daily job in this process, on the Ray that the tests share."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from kizami.config import Config, load_config
from kizami.renewal import NOTHING, Renewal
from kizami_jobs.cli import main
from kizami_jobs.daily import RunResult, run_corpus
from kizami_jobs.progress import Progress
from kizami_jobs.request import RunRequest
from support.kitchen import RECIPE_FIELDS


def configuration(
    folder: Path,
    *,
    store: str,
    source: str,
    part_bytes: str = "32MiB",
    fields: Sequence[str] = RECIPE_FIELDS,
    id_column: str = "recipe_id",
    more: str = "",
    head: str = "",
) -> Path:
    """Write ``kizami.toml`` with one corpus, recipes; ``head`` and ``more`` are TOML before and after its table."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "kizami.toml"
    path.write_text(
        f'store = "{store}"\n{head}\n[corpora.recipes]\nsource = "{source}"\nid = "{id_column}"\n'
        f'fields = {json.dumps(list(fields))}\npart_bytes = "{part_bytes}"\n{more}',
        encoding="utf-8",
    )
    return path


def run(
    config: Config | Path,
    *,
    day: str | None = None,
    as_of_now: bool = False,
    allow_empty: bool = False,
    renewal: Renewal = NOTHING,
    candidate: bool = False,
) -> RunResult:
    """One run of the corpus ``recipes``."""
    loaded = load_config(config) if isinstance(config, Path) else config
    request = RunRequest(
        "recipes",
        date.fromisoformat(day) if day else None,
        as_of_now=as_of_now,
        allow_empty=allow_empty,
        renewal=renewal,
        candidate=candidate,
    )
    return run_corpus(loaded, request, Progress(io.StringIO(), quiet=True))


def kizami(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Any, str]:
    """The command line with ``--json``: its exit code, the one object on stdout, what stands on stderr."""
    capsys.readouterr()
    code = main([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err
