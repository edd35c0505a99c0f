"""Schema v1 as rows are handled before they are written: the strings of tokens are indices into a dictionary.

A batch's tokens then take four bytes a column, and Parquet's writer takes the indices as they are. Files never hold
Arrow dictionary types: see ``kizami.partfile``.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kizami_schemas import v1

_Value = TypeVar("_Value", bound=np.generic)


def string_columns(schema: pa.Schema) -> tuple[str, ...]:
    """The columns of a schema that hold lists of strings."""
    return tuple(
        field.name for field in schema if pa.types.is_list(field.type) and field.type.value_type == pa.string()
    )


def encoded(schema: pa.Schema) -> pa.Schema:
    """A schema with dictionaries in its lists of strings."""
    return pa.schema([_encoded(field) for field in schema])


def _encoded(field: pa.Field) -> pa.Field:
    if not (pa.types.is_list(field.type) and field.type.value_type == pa.string()):
        return field
    element = field.type.value_field.with_type(pa.dictionary(pa.int32(), pa.string()))
    return field.with_type(pa.list_(element))


STRING_COLUMNS: Final = string_columns(v1.SCHEMA)
"""The token columns that hold strings."""
ROWS: Final = encoded(v1.SCHEMA)
"""All columns of schema v1."""
TOKENS: Final = pa.schema([ROWS.field("sentence_start"), *(ROWS.field(name) for name in v1.TOKEN_COLUMNS)])
"""The columns that the analyser gives."""
PLAIN_TOKENS: Final = pa.schema([v1.SCHEMA.field(name) for name in TOKENS.names])
"""The same columns as files hold them."""


def codes_of(values: pa.DictionaryArray) -> npt.NDArray[np.int32]:
    """The indices of a dictionary array, -1 for null."""
    indices = values.indices
    if not indices.null_count:
        codes: npt.NDArray[np.int32] = indices.to_numpy()
        return codes
    validity, data = indices.buffers()
    begin, end = indices.offset, indices.offset + len(indices)
    # Several times as fast as to have Arrow fill the nulls: of a null no bit of its index stays 0.
    is_valid = np.unpackbits(np.frombuffer(validity, np.uint8), count=end, bitorder="little")[begin:]
    return np.frombuffer(data, np.int32)[begin:end] | (is_valid.astype(np.int32) - 1)


def looked_up(table: npt.NDArray[_Value], codes: npt.NDArray[np.int32]) -> npt.NDArray[_Value]:
    """What stands in a table at each of some codes; the last of it is that of -1, the code of null."""
    if not len(codes) or codes.min() >= 0:
        return np.take(table, codes, mode="wrap")
    # To wrap -1 itself takes several times as long, wherever nulls are not rare.
    return np.take(np.append(table[-1:], table[:-1]), codes + np.int32(1), mode="wrap")


def with_nulls(codes: npt.NDArray[np.int32]) -> pa.Int32Array:
    """Codes as an Arrow array, -1 as null."""
    valid = codes >= 0
    if valid.all():
        return pa.array(codes)
    validity = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(pa.int32(), len(codes), [validity, pa.py_buffer(np.maximum(codes, 0))])
