"""Files that change between being listed and being read to the end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from kizami.errors import UnavailableError
from kizami.sources import list_files, read_texts
from kizami.sources.streams import GuardedFile

RECORDS = [{"id": str(number), "title": "卵焼き" * 200} for number in range(3000)]


def write(path: str, *, more: int = 0) -> None:
    """Write the records, or as many and more, over what is there."""
    records = [*RECORDS, *({"id": f"new-{number}", "title": "味噌汁"} for number in range(more))]
    system, name = fs.FileSystem.from_uri(path) if path.startswith("s3://") else (fs.LocalFileSystem(), path)
    if path.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(records), name, filesystem=system, row_group_size=500)
        return
    with system.open_output_stream(name, compression="gzip" if path.endswith(".gz") else None) as file:
        if path.endswith(".csv"):
            file.write(b"id,title\n")
            file.write("".join(f"{record['id']},{record['title']}\n" for record in records).encode())
        else:
            file.write("".join(json.dumps(record) + "\n" for record in records).encode())


def read(path: str, during: Callable[[], None]) -> int:
    """Read a file; do something after its first block."""
    [file] = list_files(path)
    documents = 0
    for block in read_texts(file, file_index=0, id_column="id", fields=["title"], block_bytes=1000):
        if not documents:
            during()
        documents += block.documents
    return documents


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz", "a.csv"])
def test_a_local_file_that_is_written_while_it_is_read_is_noticed(tmp_path: Path, name: str) -> None:
    """Written over, longer or as long as before, replaced, or gone; one that nobody touched is read to its end."""
    path = str(tmp_path / name)

    def replace() -> None:
        write(str(tmp_path / f"new-{name}"), more=1)
        (tmp_path / f"new-{name}").rename(path)

    def touch() -> None:
        os.utime(path, ns=(0, 1))

    write(path)
    assert read(path, lambda: None) == len(RECORDS)
    for during in (lambda: write(path, more=1), touch, replace):
        write(path)
        with pytest.raises(UnavailableError, match=r"a\.\S+ was changed while it was read; run again"):
            read(path, during)
    write(path)
    with pytest.raises(UnavailableError, match="is gone since it was listed"):
        read(path, lambda: Path(path).unlink())


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_a_file_that_vanishes_while_it_is_opened_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """At that moment, too, the error is one that a later run may not meet, and names the file."""
    path = str(tmp_path / name)
    write(path)
    [file] = list_files(path)

    def look(self: GuardedFile, opened: pa.NativeFile | None) -> object:
        Path(path).unlink()
        return original(self, opened)

    original = GuardedFile._mark
    monkeypatch.setattr(GuardedFile, "_mark", look)
    with pytest.raises(UnavailableError, match=r"a\.\S+ is gone since it was listed"):
        list(read_texts(file, file_index=0, id_column="id", fields=["title"]))


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_a_file_written_since_it_was_listed_is_noticed(tmp_path: Path, name: str) -> None:
    """What is read is what was listed, or nothing."""
    path = str(tmp_path / name)
    write(path)
    [file] = list_files(path)
    write(path, more=1)
    with pytest.raises(UnavailableError, match="was changed since it was listed"):
        list(read_texts(file, file_index=0, id_column="id", fields=["title"]))


@pytest.mark.s3
@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl.gz"])
def test_an_object_that_is_written_while_it_is_read_is_noticed(s3_url: str, name: str) -> None:
    """By its ETag, even within the second and at the same size; one that nobody touched is read to its end."""
    path = f"{s3_url}/{name}"
    write(path)
    assert read(path, lambda: None) == len(RECORDS)
    with pytest.raises(UnavailableError, match="was changed while it was read"):
        read(path, lambda: write(path, more=1))
    write(path)
    [file] = list_files(path)
    write(path, more=9)
    with pytest.raises(UnavailableError, match="was changed since it was listed"):
        list(read_texts(file, file_index=0, id_column="id", fields=["title"]))
