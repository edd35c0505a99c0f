"""Two versions of the schema side by side, end to end: one analysis, two snapshots under one name."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.job import configuration, run
from support.kitchen import expected_texts, recipes, write_jsonl
from support.next_version import V2, install
from support.store_contents import published, staged

pytestmark = pytest.mark.ray

BOTH = "schemas = [1, 2]\n"


@pytest.fixture(autouse=True)
def _next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: int) -> None:
    """Version 2 is there."""
    install(tmp_path / "installed", monkeypatch)


def test_first(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "source" / "recipes.jsonl", recipes(40))
    config = configuration(tmp_path, store="./store", source="./source", part_bytes="2KiB", more=BOTH)
    result = run(config)
    print(result)
    first, second = published(result.store), published(result.store, schema=2)
    assert second.texts() == expected_texts(recipes(40))
    assert second.rows().schema.equals(V2.schema)
    assert second.rows().drop_columns(["reading"]).equals(first.rows())
    assert staged(result.store) == []
