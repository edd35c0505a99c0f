"""Part files: schema v1 as Parquet, written the same way every time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kizami_schemas import v1

ROW_GROUP_ROWS: Final = 10_000
ROW_GROUP_TOKENS: Final = 250_000
"""A row group ends with the row that brings it to either. Measured on 4.2 million tokens: groups of 1,000 rows are a
fifth larger, whole files twice as slow to look one document up in."""

_FAILURES_KEY: Final = "kizami.analysis_failures"


@dataclass(frozen=True, slots=True)
class PartReport:
    """What a finished part file holds."""

    rows: int
    tokens: int
    unknown_tokens: int
    size_bytes: int
    sha256: str


class PartWriter:
    """Writes one part file: tables of schema v1 in, row groups out, in bounded memory.

    The same rows give the same row groups whatever the tables they come in. Without any row the file has no row group.
    """

    def __init__(self, path: Path, *, fingerprint: str, run: str) -> None:
        metadata = {
            "kizami.schema": f"{v1.MAJOR}.{v1.MINOR}",
            "kizami.fingerprint": fingerprint,
            "kizami.run": run,
        }
        self._writer = pq.ParquetWriter(
            path,
            v1.SCHEMA.with_metadata(metadata),
            compression="zstd",
            compression_level=3,
            data_page_version="1.0",
            # Statistics of the columns one filters by; of the token columns they would only fill the footer.
            write_statistics=["doc_id", "field", "position", "text_hash"],
        )
        self._pending: list[pa.Table] = []
        self._pending_tokens = 0
        self._pending_rows = 0

    def write(self, rows: pa.Table) -> None:
        """Append rows of schema v1."""
        tokens = pc.list_value_length(rows["start"]).to_numpy()
        while len(rows):
            total = self._pending_tokens + np.cumsum(tokens)
            by_tokens = int(np.searchsorted(total, ROW_GROUP_TOKENS)) + 1
            take = min(len(rows), by_tokens, ROW_GROUP_ROWS - self._pending_rows)
            self._pending.append(rows.slice(0, take))
            self._pending_rows += take
            self._pending_tokens = int(total[take - 1])
            if self._pending_rows >= ROW_GROUP_ROWS or self._pending_tokens >= ROW_GROUP_TOKENS:
                self._flush()
            rows, tokens = rows.slice(take), tokens[take:]

    def _flush(self) -> None:
        if self._pending:
            group = pa.concat_tables(self._pending).combine_chunks()
            self._writer.write_table(group, row_group_size=len(group))
        self._pending, self._pending_rows, self._pending_tokens = [], 0, 0

    def finish(self, failures: Sequence[dict[str, Any]]) -> None:
        """End the file. ``failures`` are the texts of this part that could not be analysed.

        They are kept in its metadata so that a run that takes the file over can report them again; they hold no text.
        """
        self._flush()
        self._writer.add_key_value_metadata({_FAILURES_KEY: json.dumps(failures, ensure_ascii=False)})
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def inspect_part(path: Path) -> PartReport:
    """Count and digest a finished part file, reading one of its token columns."""
    with pq.ParquetFile(path) as file:
        tokens = unknown = 0
        for batch in file.iter_batches(columns=["is_unknown"]):
            flags = pc.list_flatten(batch.column(0))
            tokens += len(flags)
            unknown += flags.true_count
        rows = file.metadata.num_rows
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return PartReport(rows, tokens, unknown, path.stat().st_size, digest)


def read_failures(path: Path) -> list[dict[str, Any]]:
    """The texts of a part that could not be analysed, as ``finish`` was given them."""
    metadata = pq.read_metadata(path).metadata or {}
    failures: list[dict[str, Any]] = json.loads(metadata.get(_FAILURES_KEY.encode(), b"[]"))
    return failures
