"""Quarantine: what could not be analysed, one row a text, with the reason and the place in the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kizami.errors import DataError
from kizami.stores.base import ObjectMissingError, ObjectStore

SCHEMA: Final = pa.schema(
    [
        pa.field("doc_id", pa.string(), metadata={"doc": "Id of the document; null where the record has none."}),
        pa.field("field", pa.string(), metadata={"doc": "Field of the text; null where no text could be told."}),
        pa.field("position", pa.int32(), metadata={"doc": "Index in a list-valued field, else 0."}),
        pa.field("reason", pa.string(), nullable=False, metadata={"doc": "Why, as a code: duplicate_id, too_large, …"}),
        pa.field("message", pa.string(), metadata={"doc": "Why, as a sentence. It never holds the text."}),
        pa.field("file", pa.string(), nullable=False, metadata={"doc": "File of the source."}),
        pa.field(
            "line", pa.int64(), nullable=False, metadata={"doc": "1-based line of the file; of Parquet, its row."}
        ),
    ]
)


def quarantine_rows(
    texts: pa.Table, fields: Sequence[str], files: Sequence[str], lines_before: Sequence[int] = ()
) -> pa.Table:
    """Rows of schema TEXTS as rows of quarantine, their numbers of field and file turned into names; ``lines_before``
    are to be added to the lines of each file, if there are any."""
    lines = texts["line"]
    if any(lines_before):
        lines = pc.add(lines, pa.array(lines_before, pa.int64()).take(texts["file"].combine_chunks()))
    columns = {
        **{name: texts[name] for name in ("doc_id", "position", "reason", "message")},
        "line": lines,
        "field": pa.array(fields, pa.string()).take(texts["field"].combine_chunks()),
        "file": pa.array(files, pa.string()).take(texts["file"].combine_chunks()),
    }
    return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def count_reasons(rows: pa.Table) -> dict[str, int]:
    """Number of rows by reason, the most frequent first."""
    return dict(Counter(rows["reason"].to_pylist()).most_common())


def to_parquet(tables: Iterable[pa.Table]) -> bytes:
    """The whole quarantine of a run as one Parquet file, by (file, line, field, position)."""
    rows = pa.concat_tables(tables).sort_by([(name, "ascending") for name in ("file", "line", "field", "position")])
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def read(store: ObjectStore, key: str | None) -> pa.Table:
    """The rows of a quarantine file; none where it is gone. Raises DataError where it is damaged."""
    if key is None:
        return SCHEMA.empty_table()
    try:
        return pq.read_table(pa.BufferReader(store.get(key).body))
    except ObjectMissingError:
        return SCHEMA.empty_table()
    except pa.ArrowException as error:
        raise DataError(f"{key} cannot be read ({' '.join(str(error).split())}): restore or delete it") from None
