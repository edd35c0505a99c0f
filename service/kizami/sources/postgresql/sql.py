"""SQL: the statements that read a table or a query, as text. Nothing here talks to a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kizami.database import Database, identifiers

Bound = tuple[str, ...]
"""An id, one literal a column, as the database itself writes it."""


@dataclass(frozen=True, slots=True)
class IdRange:
    """The ids from ``lower`` up to, not including, ``upper``, by the database's own order; None is open."""

    lower: Bound | None = None
    upper: Bound | None = None
    nulls: bool = False
    """Whether it is instead the rows with a null in their id, which have no place in any order."""


def quoted(identifier: str) -> str:
    """An identifier, spelt exactly."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A string. It has the type of what it is compared with."""
    return "'" + value.replace("'", "''") + "'"


def relation(database: Database) -> str:
    """What stands after FROM."""
    if database.table is not None:
        return ".".join(map(quoted, identifiers(database.table)))
    # The line end: a query may end in a comment.
    query = (database.query or "").strip().rstrip("; \n\t")
    return f"({query}\n)"


def select(what: str, database: Database, where: str = "", *, sampled: str = "") -> str:
    """A SELECT of the source."""
    return f"SELECT {what} FROM {relation(database)} AS source{sampled and f' {sampled}'}{where and f' WHERE {where}'}"


def condition(ids: Sequence[str], within: IdRange) -> str:
    """What a row of the range fulfils; empty for all rows. Ranges side by side have each row once.

    Rows are compared, which an index over the columns serves.
    """
    if within.nulls:
        return " OR ".join(f"{quoted(name)} IS NULL" for name in ids)
    columns = _row([quoted(name) for name in ids])
    conditions = []
    if within.lower is not None:
        conditions.append(f"{columns} >= {_row([literal(value) for value in within.lower])}")
    if within.upper is not None:
        conditions.append(f"{columns} < {_row([literal(value) for value in within.upper])}")
    if conditions and len(ids) > 1:
        # ('a', NULL) < ('b', 'c') is true: such a row is among the nulls, and nowhere else.
        conditions += [f"{quoted(name)} IS NOT NULL" for name in ids]
    return " AND ".join(conditions)


def _row(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"({', '.join(values)})"


def id_ranges(bounds: Sequence[Bound], *, nulls: bool) -> list[IdRange]:
    """The ranges that these bounds, ascending, cut, and the one of ids that are null, where there may be some."""
    if not bounds:
        return [IdRange()]
    edges = [None, *bounds, None]
    return [*(IdRange(lower, upper) for lower, upper in pairwise(edges)), *[IdRange(nulls=True)] * nulls]
