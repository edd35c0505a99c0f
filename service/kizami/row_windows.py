"""Windows on two snapshots: the rows of both side by side, a few documents at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc


def windows(old: Iterable[pa.Table], new: Iterable[pa.Table]) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The rows of two snapshots side by side: all rows of some documents, then of the next ones.

    Both are tables in doc_id order (UTF-8 bytes), each at least one, if an empty one. Holds one table of each side,
    and what is left of the one before; all of a document's tables if it has more.
    """
    sides = _Side(old), _Side(new)
    while any(side.last is not None for side in sides):
        least = min(side.last for side in sides if side.last is not None)
        for side in sides:
            if side.last == least:
                side.load()
        bound = min((side.last for side in sides if side.last is not None), default=None)
        pair = sides[0].take_below(bound), sides[1].take_below(bound)
        if len(pair[0]) or len(pair[1]):
            yield pair


class _Side:
    """One snapshot on its way through ``windows``."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = iter(tables)
        self._held: list[pa.Table] = []
        self.last: str | None = ""
        """The last doc_id read, of which more may come; "" before the first, None at the end."""

    def load(self) -> None:
        for table in self._tables:
            self._held.append(table)
            if len(table):
                self.last = table["doc_id"][-1].as_py()
                return
        self.last = None

    def take_below(self, bound: str | None) -> pa.Table:
        """The rows of documents before ``bound``; all without one."""
        rows = pa.concat_tables(self._held)
        # Comparing strings, Arrow compares UTF-8 bytes and Python code points: the same order.
        count = len(rows) if bound is None else pc.sum(pc.less(rows["doc_id"], bound)).as_py() or 0
        self._held = [rows.slice(count)]
        return rows.slice(0, count)
