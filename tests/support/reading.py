"""Reading a source in a test: its rows as plain tuples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from kizami.input_digests import add_up, no_digests, to_numbers
from kizami.sources import Block, list_files, read_texts

FIELDS = ("title", "ingredients.name", "steps")


class Row(NamedTuple):
    """One row of a block, the field by name."""

    doc_id: str | None
    field: str | None
    position: int | None
    text: str | None
    reason: str | None
    line: int


def blocks_of(
    source: str | Path,
    fields: Sequence[str] = FIELDS,
    *,
    id_column: str | tuple[str, ...] = "id",
    block_bytes: int = 8 << 20,
    document_limit_bytes: int = 16 << 20,
) -> list[Block]:
    """Return all blocks of a small source."""
    return [
        block
        for index, file in enumerate(list_files(str(source)))
        for block in read_texts(
            file,
            file_index=index,
            id_column=id_column,
            fields=fields,
            block_bytes=block_bytes,
            document_limit_bytes=document_limit_bytes,
        )
    ]


def rows_of(source: str | Path, fields: Sequence[str] = FIELDS, *, document_limit_bytes: int = 16 << 20) -> list[Row]:
    """Return all rows of a small source."""
    return rows_in(blocks_of(source, fields, document_limit_bytes=document_limit_bytes), fields)


def rows_in(blocks: Sequence[Block], fields: Sequence[str]) -> list[Row]:
    """Return the rows of these blocks."""
    return [
        Row(
            row["doc_id"],
            None if row["field"] is None else fields[row["field"]],
            row["position"],
            row["text"],
            row["reason"],
            row["line"],
        )
        for row in table_of(blocks).to_pylist()
    ]


def table_of(blocks: Sequence[Block]) -> pa.Table:
    """Return the texts of these blocks as one table."""
    return pa.concat_tables([block.texts for block in blocks])


def digest_of(blocks: Sequence[Block]) -> int:
    """Return the input digest of these blocks."""
    limbs = no_digests(1)
    for block in blocks:
        limbs += add_up(block.digests, np.zeros(block.documents, np.intp), 1)
    return to_numbers(limbs)[0]
