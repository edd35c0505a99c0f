"""Sources: Parquet, JSON Lines and CSV, on the local disk or S3, and PostgreSQL, read as one kind of table.

::

    files = list_files("s3://dumps/recipes/*.parquet")
    for index, file in enumerate(files):
        for block in read_texts(file, file_index=index, id_column="recipe_id", fields=["title", "steps"]):
            ...
    absent_columns(all_columns_seen, source=..., id_column="recipe_id", fields=["title", "steps"])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from kizami.identity import id_columns_of
from kizami.sources.blocks import BLOCK_BYTES, Block, BlockBuilder, gathered
from kizami.sources.columns import absent_columns
from kizami.sources.csv_file import read_csv
from kizami.sources.files import NotThereYetError, SourceFile, list_files
from kizami.sources.jsonl import read_jsonl
from kizami.sources.origin import Origin, SourcePart, open_origin
from kizami.sources.parquet import read_parquet
from kizami.sources.pieces import PIECE_BYTES, bundles
from kizami.sources.postgresql.connection import ViewLostError
from kizami.sources.postgresql.reading import read_range
from kizami.sources.postgresql.view import RangePart
from kizami.sources.records import Records

__all__ = [
    "PIECE_BYTES",
    "Block",
    "NotThereYetError",
    "Origin",
    "SourceFile",
    "SourcePart",
    "ViewLostError",
    "absent_columns",
    "bundles",
    "gathered",
    "list_files",
    "open_origin",
    "read_texts",
]

_READERS: Final = {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet}


def read_texts(
    file: SourcePart,
    *,
    file_index: int,
    id_column: str | Sequence[str],
    fields: Sequence[str],
    block_bytes: int = BLOCK_BYTES,
    document_limit_bytes: int = 16 << 20,
) -> Iterator[Block]:
    """Read one file, or range of a database, once, as blocks of texts; a file in order.

    A block ends after the document that brings it to ``block_bytes`` of text, to 20,000 documents or to 100,000 rows;
    memory does not depend on the file's size. ``file_index`` is its place in the source, ``id_column`` the column of
    the id, or those it is composed of. A document of more than ``document_limit_bytes`` of text is held back: each of
    its texts is a row with the reason, as with any other fault. Null is no text; ``""`` and blank are texts; a null
    element of a list is no text, but its position counts.

    Raises UnavailableError when the file cannot be read or was changed while it was, DataError when it is truncated or
    corrupt, ConfigurationError for columns that its schema or header shows to be absent or of another type. JSON Lines
    show no such thing before their end: see ``absent_columns``.
    """
    builder = BlockBuilder(file_index=file_index, block_bytes=block_bytes)
    records = Records(id_columns_of(id_column), tuple(fields), document_limit_bytes)
    if isinstance(file, RangePart):
        return read_range(file, builder, records)
    return _READERS[file.format](file, builder, records)
