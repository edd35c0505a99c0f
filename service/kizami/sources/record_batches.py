"""Record batches: columns of a Parquet file as columns of texts, and, where a record may have a fault, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from kizami.identity import joined_columns
from kizami.sources.blocks import TextColumns
from kizami.sources.records import ID_LIMIT_BYTES, TEXTS_LIMIT

_Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Column:
    """Where a field stands in the file."""

    name: str
    key: str | None


def element_type(found: pa.DataType) -> pa.DataType | None:
    """The type of a list's elements, None for what is no list."""
    is_list = types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)
    return found.value_type if is_list else None


def text_columns(
    batch: pa.RecordBatch,
    id_columns: Sequence[str],
    columns: Sequence[Column | None],
    *,
    first_line: int,
    limit_bytes: int,
) -> TextColumns | None:
    """The documents of a batch, or None where one of them might have a fault, which ``values`` is there to find.

    Of each column, ``batch`` holds what ``Column`` says it may: see ``read_parquet``.
    """
    try:
        return _text_columns(batch, id_columns, columns, first_line=first_line, limit_bytes=limit_bytes)
    except pa.ArrowInvalid:  # not UTF-8, or more than 2 GiB
        return None


@dataclass(frozen=True, slots=True)
class _FieldTexts:
    """The texts of one field of a batch, in the order of its records."""

    record: _Int64s
    position: _Int64s
    texts: pa.StringArray


def _text_columns(
    batch: pa.RecordBatch,
    id_columns: Sequence[str],
    columns: Sequence[Column | None],
    *,
    first_line: int,
    limit_bytes: int,
) -> TextColumns | None:
    of_columns = [_strings(batch.column(name)) for name in id_columns]
    if any(ids.null_count or pc.min(pc.binary_length(ids)).as_py() == 0 for ids in of_columns):
        return None
    ids = of_columns[0] if len(of_columns) == 1 else joined_columns(of_columns)
    if len(ids) and pc.max(pc.binary_length(ids)).as_py() > ID_LIMIT_BYTES:
        return None
    if sum(_elements(batch, column) for column in columns) > TEXTS_LIMIT:
        return None
    found = [_field_texts(batch, column) for column in columns]
    record = np.concatenate([np.zeros(0, np.int64), *(each.record for each in found)])
    field = np.repeat(np.arange(len(found)), [len(each.record) for each in found])
    position = np.concatenate([np.zeros(0, np.int64), *(each.position for each in found)])
    texts = pa.concat_arrays([pa.array([], pa.string()), *(each.texts for each in found)])
    size_bytes = np.bincount(record, pc.binary_length(texts).to_numpy(), len(ids))
    if len(ids) and size_bytes.max() > limit_bytes:
        return None
    if sum(len(each.record) > 0 for each in found) > 1:
        # Stable: within a field of a record, positions are in order already.
        order = np.argsort(record * len(found) + field, kind="stable")
        record, field, position, texts = record[order], field[order], position[order], texts.take(pa.array(order))
    return TextColumns(
        doc_ids=ids,
        lines=np.arange(first_line, first_line + len(ids)),
        counts=np.bincount(record, minlength=len(ids)),
        fields=field.astype(np.int16),
        positions=position.astype(np.int32),
        texts=texts,
    )


def _elements(batch: pa.RecordBatch, column: Column | None) -> int:
    """Elements of the column's lists, nulls included."""
    if column is None:
        return 0
    array = batch.column(column.name)
    return len(array.flatten()) if element_type(array.type) is not None else _inner_elements(array, column.key)


def _inner_elements(array: pa.Array, key: str | None) -> int:
    inner = array if key is None else _member(array, key)
    return len(inner) if element_type(inner.type) is None else len(inner.flatten())


def _field_texts(batch: pa.RecordBatch, column: Column | None) -> _FieldTexts:
    if column is None:
        nothing = np.zeros(0, np.int64)
        return _FieldTexts(nothing, nothing, pa.array([], pa.string()))
    array, key = batch.column(column.name), column.key
    if key is not None and element_type(array.type) is None:
        array, key = _member(array, key), None
    record = np.arange(len(array))
    position = np.zeros(len(array), np.int64)
    if element_type(array.type) is not None:
        # flatten() leaves out what stands below null lists, so lengths alone say where each list begins.
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy().astype(np.int64)
        array = array.flatten() if key is None else _member(array.flatten(), key)
        record = np.repeat(record, lengths)
        position = np.arange(len(array)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    present = pc.is_valid(array).to_numpy(zero_copy_only=False)
    return _FieldTexts(record[present], position[present], _strings(array.drop_null()))


def _strings(array: pa.Array) -> pa.StringArray:
    """Integers in decimal, strings as they are. Raises pa.ArrowInvalid for what is not UTF-8."""
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    strings = array.cast(pa.string())
    strings.validate(full=True)
    return strings


def _member(array: pa.StructArray, key: str) -> pa.Array:
    # Unlike StructArray.field(), struct_field gives null where the struct itself is null.
    return pc.struct_field(array, [array.type.get_field_index(key)])


def values(batch: pa.RecordBatch, column: Column | None) -> list[Any]:
    """Return one value a row, as ``Records`` takes them."""
    if column is None:
        return [None] * batch.num_rows
    array = batch.column(column.name)
    if element_type(array.type) is None:
        return _scalars(array, column.key)
    return _lists(array, column.key)


def _lists(array: pa.Array, key: str | None) -> list[Any]:
    # flatten() leaves out what stands below null lists, so lengths alone say where each list begins.
    elements = _scalars(array.flatten(), key)
    values: list[Any] = []
    begin = 0
    for length in pc.list_value_length(array).to_pylist():
        values.append(None if length is None else elements[begin : begin + length])
        begin += length or 0
    return values


def _scalars(array: pa.Array, key: str | None) -> list[Any]:
    if key is not None:
        inner = _member(array, key)
        return _scalars(inner, None) if element_type(inner.type) is None else _lists(inner, None)
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_null(array.type) or types.is_integer(array.type):
        return list(array.to_pylist())
    values: list[Any] = array.cast(pa.large_binary()).to_pylist()
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return [None if value is None else _decoded(value) for value in values]
    return values


def _decoded(value: bytes) -> bytes | str:
    try:
        value.decode()
    except UnicodeDecodeError:
        return value.decode("utf-8", "surrogateescape")
    return value
