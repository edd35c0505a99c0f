"""Reading a range: all of its rows onto the worker's own disk, and only then, whole, into blocks."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.ipc

from kizami.errors import UnavailableError
from kizami.sources.blocks import Block, BlockBuilder
from kizami.sources.columns import FieldPath
from kizami.sources.files import one_line
from kizami.sources.json_records import JsonFields, parse_json
from kizami.sources.postgresql.columns import Selection
from kizami.sources.postgresql.connection import ConnectionLostError, Session
from kizami.sources.postgresql.sql import condition, select
from kizami.sources.postgresql.view import RangePart
from kizami.sources.record_batches import Column, text_columns, values
from kizami.sources.records import NotText, Records

_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.5
_DOCUMENTS_AT_ONCE: Final = 1024


def read_range(part: RangePart, builder: BlockBuilder, records: Records) -> Iterator[Block]:
    """Yield the range's blocks, at least one. A line is a row of the range, counted from 1, in no order.

    Nothing is yielded before all of it has come, so a connection that is lost is replaced by another one that begins
    the range again in the same view, and no row is there twice or missing. The database is not kept waiting for
    whatever is done with the rows. Memory does not depend on the range's size.

    Raises ViewLostError where the view is gone, UnavailableError where the database stays away.
    """
    with tempfile.TemporaryFile(prefix="kizami-range-") as file:
        _fetch(part, file)
        file.seek(0)
        with pa.ipc.open_stream(file) as reader:
            yield from _blocks(part, reader, builder, records)


def _fetch(part: RangePart, file: IO[bytes]) -> None:
    """Write all rows of the range into a file."""
    for attempt in range(1, _ATTEMPTS + 1):
        file.seek(0)
        file.truncate()
        try:
            _fetch_once(part, file)
        except OSError as error:
            raise UnavailableError(
                f"{part.url}: host {socket.gethostname()} cannot keep it in {tempfile.gettempdir()} while it comes: "
                f"{one_line(error)}; make room, or name another folder in TMPDIR"
            ) from error
        except ConnectionLostError as error:
            if attempt == _ATTEMPTS:
                raise UnavailableError(f"{part.url}: given up after {attempt} attempts: {error}") from None
            time.sleep(_PAUSE_SECONDS * 2**attempt)
        else:
            return


def _fetch_once(part: RangePart, file: IO[bytes]) -> None:
    session = Session(part.database)
    try:
        session.begin(part.view)
        where = condition(part.selection.ids, part.within)
        with session.batches(select(part.selection.what, part.database, where)) as batches:
            writer = None
            for batch in batches:
                plain = _plain(batch)
                if writer is None:
                    writer = pa.ipc.new_stream(file, plain.schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
                writer.write_batch(plain)
            if writer is None:
                empty = pa.schema([(name, pa.string()) for name in part.selection.columns])
                writer = pa.ipc.new_stream(file, empty)
            writer.close()
    finally:
        session.close()


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without extension types and metadata: JSON is a string."""
    columns = [column.storage if isinstance(column, pa.ExtensionArray) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _blocks(part: RangePart, reader: Any, builder: BlockBuilder, records: Records) -> Iterator[Block]:
    selection = part.selection
    fields = JsonFields(selection.ids, selection.fields)
    fields.seen |= {*selection.ids, *(name for name in selection.fields if name in selection.columns)}
    columns = [Column(name, None) for name in selection.fields]
    number = 0
    for whole in reader:
        for begin in range(0, whole.num_rows, _DOCUMENTS_AT_ONCE):
            batch = whole.slice(begin, _DOCUMENTS_AT_ONCE)
            sound = None
            if not selection.json:
                sound = text_columns(
                    batch, records.id_columns, columns, first_line=number + 1, limit_bytes=records.limit_bytes
                )
            if sound is not None:
                builder.add_columns(sound)
            else:
                ids = zip(*(values(batch, Column(name, None)) for name in records.id_columns), strict=True)
                for line, (id_values, row) in enumerate(zip(ids, _rows(selection, batch), strict=True), number + 1):
                    builder.add(records.document(id_values, fields.values(row)), line)
            number += batch.num_rows
            if builder.full:
                yield builder.take(frozenset(fields.seen))
    # A column that is there but holds nothing, in this range, lacks no key.
    paths = [FieldPath.of(field) for field in selection.fields]
    fields.seen |= {path.name for path in paths if not fields.has_inside(path.head)}
    yield builder.take(frozenset(fields.seen))


def _rows(selection: Selection, batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows as objects, like those of JSON Lines; columns of JSON say one by one what they hold."""
    names = [name for name in selection.columns if name in selection.json or name in selection.fields]
    columns: list[list[Any]] = []
    for name in names:
        found = values(batch, Column(name, None))
        if name in selection.json:
            found = [None if value is None else _parsed(value) for value in found]
        columns.append(found)
    for row in zip(*columns, strict=True):
        yield dict(zip(names, row, strict=True))


def _parsed(value: bytes) -> Any:
    try:
        return parse_json(value)
    except (ValueError, RecursionError):  # PostgreSQL takes deeper nesting and longer numbers
        return NotText("JSON that is nested too deeply or has a number of too many digits")
