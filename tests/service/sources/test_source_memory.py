"""Memory stays flat, however large the source."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.corpora import CORPORA

# Peak private memory of a process that reads a source, over what it had before; "hold" keeps all blocks. Blocks are
# smaller than by default, to be told from what Arrow's memory pool keeps for the next one.
SCRIPT = """
import json, sys, psutil
from kizami.sources import list_files, read_texts
source, fields, mode = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
process = psutil.Process()
before = process.memory_full_info().uss
peak = documents = read_bytes = 0
held = []
for index, file in enumerate(list_files(source)):
    for block in read_texts(file, file_index=index, id_column="doc_id", fields=fields, block_bytes=1 << 20):
        peak = max(peak, process.memory_full_info().uss)
        documents += block.documents
        read_bytes += block.texts.nbytes
        if mode == "hold":
            held.append(block)
print(json.dumps([peak - before, documents, read_bytes]))
"""


class Reading(NamedTuple):
    """What one pass over a source took."""

    growth_bytes: int
    documents: int
    read_bytes: int
    """All blocks together, had they been held."""


def read(source: Path, fields: str, mode: str = "pass") -> Reading:
    """Read a source in a process of its own."""
    command = [sys.executable, "-c", SCRIPT, str(source), fields, mode]
    return Reading(*json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


@pytest.mark.shared
@pytest.mark.usefixtures("shared_corpora")
def test_long_documents_pass_in_flat_memory() -> None:
    """130 MB of novels in one zstd file: far less than their text is ever held, and holding them would show."""
    bound_bytes = 130 << 20
    passed = read(CORPORA / "bulk_aozora.jsonl.zst", "title,body")
    assert passed.documents == 3271
    assert passed.growth_bytes < bound_bytes
    assert read(CORPORA / "bulk_aozora.jsonl.zst", "title,body", "hold").growth_bytes > bound_bytes


def test_a_million_short_documents_pass_in_flat_memory(tmp_path: Path) -> None:
    """Neither the number of documents nor that of names and ids adds up."""
    bound_bytes = 80 << 20
    with (tmp_path / "a.jsonl").open("w") as file:
        file.writelines(f'{{"doc_id":"r-{number}","title":"卵焼き{number}"}}\n' for number in range(1_000_000))
    passed = read(tmp_path / "a.jsonl", "title")
    assert passed.documents == 1_000_000
    assert passed.growth_bytes < bound_bytes < passed.read_bytes


def test_one_huge_row_group_passes_in_flat_memory(tmp_path: Path) -> None:
    """A Parquet file of a single row group of 200 MB, its unread column as large again."""
    bound_bytes = 180 << 20
    with pq.ParquetWriter(
        tmp_path / "a.parquet",
        pa.schema([("doc_id", pa.string()), ("title", pa.string()), ("memo", pa.string())]),
        compression="none",
        use_dictionary=False,
    ) as writer:
        ids = [str(number) for number in range(20_000)]
        texts = ["卵をよく溶きほぐして焼く。" * 260 + number for number in ids]
        table = pa.Table.from_pydict({"doc_id": ids, "title": texts, "memo": texts}, schema=writer.schema)
        writer.write_table(table, row_group_size=len(ids))
    passed = read(tmp_path / "a.parquet", "title")
    assert passed.growth_bytes < bound_bytes < passed.read_bytes
