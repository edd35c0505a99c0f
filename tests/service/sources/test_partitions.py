"""Partitions: columns in the path, as Hive and Spark write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kizami.errors import ConfigurationError
from kizami.sources.partitions import partition_values
from support.reading import blocks_of, rows_in


def write(path: Path, records: list[dict[str, Any]]) -> None:
    """The records in the format of the name."""
    path.parent.mkdir(parents=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif path.suffix == ".csv":
        lines = [",".join(records[0]), *(",".join(map(str, record.values())) for record in records)]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl", "x.csv"])
def test_a_partition_is_an_id_or_a_field(tmp_path: Path, name: str) -> None:
    """As a string as it stands there, escapes decoded; Hive's null is null."""
    write(tmp_path / "dt=2026-11-27" / "site=a" / name, [{"number": "1", "title": "卵焼き"}])
    write(tmp_path / "dt=2026-11-27" / "site=%E6%96%99%E7%90%86%2F1" / name, [{"number": "1", "title": "味噌汁"}])
    write(tmp_path / "dt=__HIVE_DEFAULT_PARTITION__" / "site=b" / name, [{"number": "2", "title": "親子丼"}])
    fields = ["dt", "title"]
    blocks = blocks_of(tmp_path, fields, id_column=("site", "number"))
    assert sorted((row.doc_id, row.field, row.text) for row in rows_in(blocks, fields)) == [
        ("a/1", "dt", "2026-11-27"),
        ("a/1", "title", "卵焼き"),
        ("b/2", "title", "親子丼"),
        ("料理%2F1/1", "dt", "2026-11-27"),
        ("料理%2F1/1", "title", "味噌汁"),
    ]


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl", "x.csv"])
def test_a_column_of_the_file_comes_first(tmp_path: Path, name: str) -> None:
    """Where a file has the column too, it knows better."""
    write(tmp_path / "title=path" / name, [{"id": "1", "title": "卵焼き"}])
    assert [row.text for row in rows_in(blocks_of(tmp_path, ["title"]), ["title"])] == ["卵焼き"]


@pytest.mark.parametrize("name", ["x.parquet", "x.csv"])
def test_what_is_in_neither_is_absent(tmp_path: Path, name: str) -> None:
    """A folder of another name is no column."""
    write(tmp_path / "site=a" / name, [{"number": "1", "title": "卵焼き"}])
    with pytest.raises(ConfigurationError, match="no column sight"):
        blocks_of(tmp_path, ["title"], id_column=("sight", "number"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://dumps/dt=2026-11-27/shard=007/a.parquet", {"dt": "2026-11-27", "shard": "007"}),
        ("/dumps/dt=1/x/dt=2/a.parquet", {"dt": "2"}),
        ("/dumps/dt=/a.parquet", {"dt": ""}),
        ("/dumps/dt=a=b/a.parquet", {"dt": "a=b"}),
        ("/dumps/dt/a=1.parquet", {}),
        ("/dumps/other=1/a.parquet", {}),
    ],
)
def test_folders_are_told_from_other_names(url: str, expected: dict[str, str]) -> None:
    """Only whole folders of the form key=value, and only those that are wanted."""
    assert partition_values(url, {"dt", "shard", "a"}) == expected
