"""What may change in a published schema: nullable columns may be appended, nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, TypedDict

import pyarrow as pa

FROZEN_FOLDER: Final = Path(__file__).parent / "frozen"


class Column(TypedDict):
    """A column as the golden file keeps it."""

    name: str
    type: str
    nullable: bool
    doc: str


class IncompatibleSchemaError(ValueError):
    """A published schema would change for its readers; each change is a line of the message."""


def describe(schema: pa.Schema) -> list[Column]:
    """The columns of ``schema`` as plain data, in order. Field metadata other than ``doc`` is left out."""
    return [
        Column(
            name=field.name,
            type=_type_name(field.type),
            nullable=field.nullable,
            doc=(field.metadata or {}).get(b"doc", b"").decode(),
        )
        for field in schema
    ]


def _type_name(type_: pa.DataType) -> str:
    if pa.types.is_list(type_):
        element = _type_name(type_.value_type)
        return f"list<{element}>" if type_.value_field.nullable else f"list<{element} required>"
    return str(type_)


def frozen(major: int) -> list[Column]:
    """The golden description of a published major version. Raises FileNotFoundError where none is published."""
    columns: list[Column] = json.loads((FROZEN_FOLDER / f"v{major}.json").read_text("utf-8"))["columns"]
    return columns


def render_frozen(major: int, minor: int, schema: pa.Schema) -> str:
    """The golden file's text for ``schema``."""
    content = {"schema": f"{major}.{minor}", "columns": describe(schema)}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def check_compatible(published: list[Column], candidate: list[Column]) -> list[str]:
    """Compare a candidate with what is published; return the names of the columns it adds.

    A reader of the published version must find every column it knows, in its place, with its type and its promise
    about nulls. Wording of documentation may change.

    Raises:
        IncompatibleSchemaError: a column was removed, renamed, moved, retyped, changed in nullability, added as
            required, or added under a name that is taken.
    """
    problems: list[str] = []
    names = [column["name"] for column in candidate]
    problems += [f"column {name!r} is there twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    for index, old in enumerate(published):
        if old["name"] not in names:
            problems.append(f"column {old['name']!r} is gone")
            continue
        new = candidate[names.index(old["name"])]
        if names.index(old["name"]) != index:
            problems.append(f"column {old['name']!r} moved from place {index} to {names.index(old['name'])}")
        if new["type"] != old["type"]:
            problems.append(f"column {old['name']!r} changed from {old['type']} to {new['type']}")
        if new["nullable"] != old["nullable"]:
            problems.append(f"column {old['name']!r} changed from {_nulls(old)} to {_nulls(new)}")
    known = {column["name"] for column in published}
    added = [column for column in candidate if column["name"] not in known]
    problems += [
        f"new column {column['name']!r} is required; only nullable ones fit"
        for column in added
        if not column["nullable"]
    ]
    if problems:
        raise IncompatibleSchemaError("; ".join(problems) + ". Publish it as the next major version instead.")
    return [column["name"] for column in added]


def _nulls(column: Column) -> str:
    return "nullable" if column["nullable"] else "required"
