"""Parquet: the configured columns alone, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from kizami.errors import ConfigurationError, DataError
from kizami.sources.blocks import Block, BlockBuilder
from kizami.sources.columns import FieldPath, absent_columns
from kizami.sources.files import SourceFile, one_line
from kizami.sources.partitions import partition_values
from kizami.sources.record_batches import Column, element_type, text_columns, values
from kizami.sources.records import Records
from kizami.sources.streams import GuardedFile

_BATCH_BYTES: Final = 4 << 20
_BATCH_ROWS: Final = 1024
"""A batch is cut by the mean size of its row group's rows; the cap keeps a skewed group, or one whose dictionary
repeats long texts, within bounds."""
_BUFFER_BYTES: Final = 1 << 20
"""Read ahead of each column; without it Arrow would hold whole column chunks, however large the row group."""

T = TypeVar("T")


def read_parquet(file: SourceFile, builder: BlockBuilder, records: Records) -> Iterator[Block]:
    """Yield the file's blocks, at least one, which has no rows where the file has no rows.

    A field is a column of strings (plain, large or dictionary-encoded), of lists of them, or one key of a struct or of
    a list of structs; the id columns of strings or integers; a partition (``key=value`` in the path) is a column, too.
    A field that this file lacks is null in it: files of several ages may stand in one source. A line is a row, counted
    from 1.

    Raises ConfigurationError, before any row is read, for an id that is absent and for a column of another type,
    DataError for a file that is truncated or corrupt.
    """
    with GuardedFile(file, random_access=True) as guarded:
        parquet = _content(
            file,
            lambda: pq.ParquetFile(
                pa.PythonFile(guarded, mode="r"),
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
                page_checksum_verification=True,
            ),
        )
        schema = _content(file, lambda: parquet.schema_arrow)
        constant = partition_values(file.url, {*records.id_columns, *records.fields} - set(schema.names))
        for name in constant:
            schema = schema.append(pa.field(name, pa.string()))
        seen = frozenset(_names(schema))
        absent_columns(seen, source=f"source file {file.url}", id_column=records.id_columns, fields=())
        for name in records.id_columns:
            _check_id(file, schema, name)
        columns = [_resolve(file, schema, FieldPath.of(field)) for field in records.fields]
        number = file.rows_before
        id_columns = [Column(name, None) for name in records.id_columns]
        for read in _batches(file, parquet, [*id_columns, *columns]):
            batch = read
            for name, value in constant.items():
                batch = batch.append_column(name, pa.array([value] * len(read), pa.string()))
            sound = text_columns(
                batch, records.id_columns, columns, first_line=number + 1, limit_bytes=records.limit_bytes
            )
            if sound is None:
                ids = zip(*(values(batch, column) for column in id_columns), strict=True)
                fields = [values(batch, column) for column in columns]
                for line, (id_values, *of_fields) in enumerate(zip(ids, *fields, strict=True), number + 1):
                    builder.add(records.document(id_values, of_fields), line)
                    if builder.full:
                        yield builder.take(seen)
            else:
                builder.add_columns(sound)
                if builder.full:
                    yield builder.take(seen)
            number += batch.num_rows
        yield builder.take(seen)


def _content(file: SourceFile, call: Callable[[], T]) -> T:
    try:
        return call()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"source file {file.url} is truncated or not valid Parquet: {one_line(error)}; write it again"
        ) from error


def _batches(file: SourceFile, parquet: pq.ParquetFile, columns: Sequence[Column | None]) -> Iterator[pa.RecordBatch]:
    leaves = [parquet.schema.column(index).path for index in range(len(parquet.schema))]
    wanted = {leaf for column in columns if column for leaf in _leaves(leaves, column)}
    indexes = [index for index, leaf in enumerate(leaves) if leaf in wanted]
    for group in range(*(file.piece or (0, parquet.num_row_groups))):
        metadata = parquet.metadata.row_group(group)
        size_bytes = sum(metadata.column(index).total_uncompressed_size for index in indexes)
        rows = min(_BATCH_ROWS, max(1, _BATCH_BYTES * metadata.num_rows // max(1, size_bytes)))
        batches = parquet.iter_batches(rows, row_groups=[group], columns=sorted(wanted), use_threads=False)
        while (batch := _content(file, partial(next, batches, None))) is not None:
            yield batch


def _leaves(leaves: Sequence[str], column: Column) -> list[str]:
    inside = [leaf for leaf in leaves if leaf == column.name or leaf.startswith(f"{column.name}.")]
    if column.key is None:
        return inside
    # Between the two stand "list.element" or what older writers called it; the reader drops the other keys.
    return [leaf for leaf in inside if leaf.endswith(f".{column.key}")] or inside


def _names(schema: pa.Schema) -> Iterator[str]:
    for field in schema:
        yield field.name
        inner = element_type(field.type) or field.type
        if types.is_struct(inner):
            yield from (f"{field.name}.{inner.field(index).name}" for index in range(inner.num_fields))


def _check_id(file: SourceFile, schema: pa.Schema, id_column: str) -> None:
    indexes = schema.get_all_field_indices(id_column)
    if not indexes:
        raise ConfigurationError(f"source file {file.url}: id {id_column} is a key inside a column; an id is a column")
    _check_single(file, id_column, indexes)
    found = schema.field(indexes[0]).type
    inner = found.value_type if types.is_dictionary(found) else found
    if not (_is_text(inner) or types.is_integer(inner)):
        raise ConfigurationError(
            f"source file {file.url}: id {id_column} has the type {found}; an id is a string or an integer"
        )


def _check_single(file: SourceFile, name: str, indexes: Sequence[int]) -> None:
    if len(indexes) > 1:
        raise DataError(f"source file {file.url} has {len(indexes)} columns named {name}; rename them")


def _resolve(file: SourceFile, schema: pa.Schema, path: FieldPath) -> Column | None:
    """Find a field in the schema; None if the file lacks it."""
    for name, key in ((path.name, None), (path.head, path.key)):
        indexes = schema.get_all_field_indices(name)
        if not indexes:
            continue
        _check_single(file, name, indexes)
        found = schema.field(indexes[0]).type
        if key is not None:
            struct = element_type(found) or found
            if types.is_struct(struct):
                if struct.get_field_index(key) < 0:
                    return None
                inner = struct.field(key).type
                # A list of structs has one text an element; lists in lists have no position to give.
                if _is_text(inner) or (struct is found and _is_text(element_type(inner))):
                    return Column(name, key)
                found = inner
        elif _is_text(found) or _is_text(element_type(found)):
            return Column(name, None)
        raise ConfigurationError(
            f"source file {file.url}: field {path.name} has the type {found}; a field is a string, a list of strings,"
            " or one key, a string, of a struct or of a list of structs"
        )
    return None


def _is_text(found: pa.DataType | None) -> bool:
    if found is None:
        return False
    if types.is_dictionary(found):
        return _is_text(found.value_type)
    # A column that is null throughout, as pandas writes it, has no other type.
    kinds = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    return any(kind(found) for kind in kinds)
