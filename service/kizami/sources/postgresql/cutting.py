"""Cutting: into which ranges of the id a source is cut, found out at little cost to the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kizami.database import Database
from kizami.sources.postgresql.connection import Session
from kizami.sources.postgresql.sql import Bound, IdRange, condition, id_ranges, literal, quoted, relation, select

RANGE_BYTES: Final = 32 << 20
"""Aimed at: what is read again when a connection is lost, and what a reader keeps on its disk."""
_PAGE_BYTES: Final = 8192
_MOST_RANGES: Final = 1000
_FEW_ROWS: Final = 5000
"""Not worth being cut."""
_SAMPLED_PAGES: Final = 400
"""Of a table, 3 MB, of which the ids alone are sent."""
_SAMPLED_ROWS: Final = 20_000
_SAMPLED_AT_MOST: Final = 3 * _SAMPLED_ROWS
"""Where the planner expected far fewer rows than there are: better unequal ranges than all ids in memory."""
_DEARER: Final = 4.0
"""Ranges are read if the planner thinks all of them less than so many times as dear as the whole at once."""


def cut(session: Session, database: Database, ids: Sequence[str], readers: int) -> list[IdRange]:
    """Ranges of the id that have each row of the source once: one, or several of about the same size.

    A table is cut by a sample of its pages; of a query or a view the ids alone are looked at once more, and only where
    it is large. Where the ranges would cost the database several times what the whole does, as without an index that
    has them in order, there is one for each reader of a table, and of a query one at all.
    """
    everything = select("*", database)
    plan = session.plan(everything)
    rows, cost = float(plan["Plan Rows"]), float(plan["Total Cost"])
    pages, is_table = _pages(session, database)
    size_bytes = max(pages * _PAGE_BYTES, rows * float(plan["Plan Width"]))
    if rows < _FEW_ROWS or (not is_table and size_bytes < 2 * RANGE_BYTES):
        return [IdRange()]
    nulls = not (is_table and _never_null(session, database, ids))
    sample = _sample(session, database, ids, rows, pages if is_table else None)
    wanted = min(_MOST_RANGES, max(readers, round(size_bytes / RANGE_BYTES)))
    for count in dict.fromkeys((wanted, readers)):
        ranges = id_ranges(_bounds(sample, count), nulls=nulls)
        if count == readers and is_table:
            return ranges
        tried = (ranges[0], ranges[len(ranges) // 2])
        costs = [float(session.plan(select("*", database, condition(ids, each)))["Total Cost"]) for each in tried]
        if sum(costs) / len(costs) * len(ranges) <= _DEARER * cost:
            return ranges
    return [IdRange()]


def _pages(session: Session, database: Database) -> tuple[int, bool]:
    """Pages of a table, those of its partitions and of long texts apart included, and whether it is one."""
    if database.table is None:
        return 0, False
    oid = f"{literal(relation(database))}::regclass"
    [found] = session.rows(
        f"SELECT relkind::text AS kind, pg_table_size({oid}) AS own, "  # quoted above
        f"(SELECT coalesce(sum(pg_table_size(relid)), 0)::bigint FROM pg_partition_tree({oid})) AS tree "
        f"FROM pg_class WHERE oid = {oid}"
    )
    return max(int(found["own"]), int(found["tree"])) // _PAGE_BYTES, found["kind"] in {"r", "p", "m"}


def _never_null(session: Session, database: Database, ids: Sequence[str]) -> bool:
    named = ", ".join(map(literal, ids))
    [found] = session.rows(
        f"SELECT count(*) AS kept FROM pg_attribute WHERE attrelid = {literal(relation(database))}::regclass "
        f"AND attnotnull AND attname IN ({named})"
    )
    return int(found["kept"]) == len(ids)


def _sample(session: Session, database: Database, ids: Sequence[str], rows: float, pages: int | None) -> list[Bound]:
    """Some ids, in the database's own order, those with a null left out; ``pages``: of a table."""
    names = [quoted(f"id{place}") for place in range(len(ids))]
    columns = ", ".join(f"{quoted(column)} AS {name}" for column, name in zip(ids, names, strict=True))
    where = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in ids)
    share, sampled = 1.0, ""
    if pages is not None:
        share = min(1.0, max(_SAMPLED_PAGES / max(pages, 1), _FEW_ROWS / max(rows, 1)))
        sampled = f"TABLESAMPLE SYSTEM ({100 * share:.6f}) REPEATABLE (0)"
    if rows * share > _SAMPLED_ROWS:
        where += f" AND random() < {_SAMPLED_ROWS / (rows * share):.9f}"
    chosen = f"{select(columns, database, where, sampled=sampled)} LIMIT {_SAMPLED_AT_MOST}"
    texts = ", ".join(f"chosen.{name}::text AS {name}" for name in names)
    order = ", ".join(f"chosen.{name}" for name in names)
    found = session.rows(f"SELECT {texts} FROM ({chosen}) AS chosen ORDER BY {order}")
    return [tuple(row.values()) for row in found]


def _bounds(sample: Sequence[Bound], ranges: int) -> list[Bound]:
    """Bounds of so many ranges with about as many of the sample each; fewer where ids are few."""
    places = [len(sample) * number // ranges for number in range(1, ranges)]
    return list(dict.fromkeys(sample[place] for place in places if 0 < place < len(sample)))
