"""Columns of a database: how each one that is wanted is selected, so that Arrow has it as a text, a list or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from kizami.database import Database
from kizami.errors import ConfigurationError
from kizami.sources.columns import FieldPath, absent_columns
from kizami.sources.postgresql.sql import quoted

_INTEGERS: Final = frozenset({"int2", "int4", "int8"})
_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "name"})
_JSON: Final = frozenset({"json", "jsonb"})
_ARRAYS: Final = frozenset({"_text", "_varchar", "_bpchar", "_name"})
_NO_IDS: Final = frozenset(
    {"bool", "float4", "float8", "bytea", "money", "date", "time", "timetz", "timestamp", "timestamptz", "interval"}
)
_NO_TEXTS: Final = _NO_IDS | _INTEGERS | {"oid", "numeric", "uuid", "inet", "cidr"}


@dataclass(frozen=True, slots=True)
class Selection:
    """What is selected of a source, the same for all of its ranges."""

    ids: tuple[str, ...]
    fields: tuple[str, ...]
    """As configured."""
    columns: tuple[str, ...]
    """Columns selected: the ids, then those that fields are in."""
    expressions: tuple[str, ...]
    """SQL of each of them."""
    json: frozenset[str]
    """Those that are JSON."""

    @property
    def what(self) -> str:
        """What stands after SELECT."""
        named = zip(self.expressions, self.columns, strict=True)
        return ", ".join(f"{expression} AS {quoted(name)}" for expression, name in named)


def selection_of(database: Database, schema: pa.Schema, ids: Sequence[str], fields: Sequence[str]) -> Selection:
    """Find the configured columns in what the source has. Raises ConfigurationError for one that is absent or whose
    type can be no id, no text."""
    source = f"source {database.name}"
    twice = {name for name in schema.names if schema.names.count(name) > 1}
    paths = {field: FieldPath.of(field) for field in fields}
    # Which keys there are inside a column, its type does not say: that is for the whole of the source to show.
    wanted = [*ids, *(_column(paths[field], schema) for field in fields)]
    absent_columns(frozenset(schema.names), source=source, id_column=tuple(ids), fields=wanted)
    if ambiguous := sorted(twice & set(wanted)):
        raise ConfigurationError(f"{source} has several columns named {', '.join(ambiguous)}; rename them in the query")
    expressions = {name: _id(source, name, _kind(schema, name)) for name in ids}
    json = set()
    for field in fields:
        name = _column(paths[field], schema)
        kind = _kind(schema, name)
        inside = name != field
        if kind in _TEXTS | _ARRAYS and not inside:
            expression = quoted(name)
        elif kind in _NO_TEXTS or (inside and kind in _TEXTS | _ARRAYS):
            raise ConfigurationError(
                f"{source}: field {field} has the type {kind}; a field is text, text[], or JSON: a string, a list of "
                "strings, or one key of an object or of a list of objects"
            )
        else:
            json.add(name)
            # What Arrow has no type for is JSON to PostgreSQL: arrays of composite types, enums, domains over them.
            expression = quoted(name) if kind in _JSON else f"to_jsonb({quoted(name)})"
        if name in expressions and name in json:
            raise ConfigurationError(
                f"{source}: {name} is an id and, as JSON, a field; an id is a string or an integer"
            )
        expressions.setdefault(name, expression)
    return Selection(
        ids=tuple(ids),
        fields=tuple(fields),
        columns=tuple(expressions),
        expressions=tuple(expressions.values()),
        json=frozenset(json),
    )


def _column(path: FieldPath, schema: pa.Schema) -> str:
    return path.name if path.name in schema.names or path.key is None else path.head


def _kind(schema: pa.Schema, name: str) -> str:
    metadata = schema.field(name).metadata or {}
    return str(metadata.get(b"POSTGRESQL:type", b"unknown").decode())


def _id(source: str, name: str, kind: str) -> str:
    if kind in _NO_IDS | _JSON or kind.startswith("_"):
        raise ConfigurationError(f"{source}: id {name} has the type {kind}; an id is a string, an integer or a uuid")
    return quoted(name) if kind in _INTEGERS | _TEXTS else f"{quoted(name)}::text"
