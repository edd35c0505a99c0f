"""Recipes in a table of PostgreSQL, and what is read of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kizami.database import Database
from kizami.sources import Block, Origin, open_origin, read_texts
from support.postgres_server import PostgresServer
from support.reading import rows_in

RECIPE_FIELDS = ("title", "steps", "ingredients.name")
Id = str | tuple[str, ...]

RECIPE_ROWS = [
    ("r-1", "ingredients.name", 0, "卵", None),
    ("r-1", "ingredients.name", 3, "塩", None),
    ("r-1", "steps", 0, "溶く", None),
    ("r-1", "steps", 2, "焼く", None),
    ("r-1", "title", 0, "卵焼き", None),
    ("r-2", "title", 0, "", None),
    ("r-3", None, None, None, None),
]


def read(origin: Origin, id_column: Id = "id", fields: Sequence[str] = RECIPE_FIELDS) -> list[Block]:
    """All blocks of a source that is open."""
    return [
        block
        for number, part in enumerate(origin.parts)
        for block in read_texts(part, file_index=number, id_column=id_column, fields=fields)
    ]


def rows(server: PostgresServer, id_column: Id = "id", fields: Sequence[str] = RECIPE_FIELDS, **what: Any) -> Any:
    """The rows of a small source, by id."""
    origin = open_origin(Database(server.url, **what), id_column=id_column, fields=fields)
    try:
        return sorted((row[:5] for row in rows_in(read(origin, id_column, fields), fields)), key=repr)
    finally:
        origin.close()
