"""View: a source in a database at one moment, kept in sight by a connection while others read it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kizami.database import Database
from kizami.errors import ConfigurationError
from kizami.sources.files import NotThereYetError
from kizami.sources.postgresql.columns import Selection, selection_of
from kizami.sources.postgresql.connection import ConnectionLostError, ViewLostError, connect_patiently
from kizami.sources.postgresql.cutting import cut
from kizami.sources.postgresql.sql import IdRange, select

_FIRST_PATIENCE_SECONDS: Final = 5.0
_REOPENING_SECONDS: Final = 120.0
"""A server that is started again was just there, and will be back."""
_ASKED_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class RangePart:
    """A range of a source, as a worker is told of it. No secret is in it: the worker's host has them."""

    database: Database
    selection: Selection
    within: IdRange
    view: str
    """What the exporting connection called it."""
    number: int
    of: int

    @property
    def url(self) -> str:
        """For messages and quarantine. The bounds are ids, which are not to stand there."""
        return f"{self.database.name}, range {self.number} of {self.of}"

    @property
    def size_bytes(self) -> int:
        """Not known."""
        return 0


class DatabaseView:
    """A source of one moment. While it is open, a transaction that reads is open in the database, too."""

    def __init__(
        self,
        database: Database,
        ids: Sequence[str],
        fields: Sequence[str],
        *,
        patience_seconds: float = _FIRST_PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        dated: bool = False,
    ) -> None:
        """Connect, look at the columns, cut the ranges.

        The source's tables stay locked against being altered or truncated (ACCESS SHARE, as by any SELECT): of a table
        that was truncated or written anew an older view sees nothing at all.

        Raises ConfigurationError, NotThereYetError for a table of a date that there is not, UnavailableError.
        """
        self._database, self._sleep, self._ids, self._fields = database, sleep, tuple(ids), tuple(fields)
        self._dated = dated
        self._asked = time.monotonic()
        self._session = connect_patiently(database, patience_seconds, sleep=sleep)
        try:
            self.parts = self._parts()
        except BaseException:
            self.close()
            raise

    @property
    def at_once(self) -> int:
        """Parts read at once, at the most."""
        return self._database.connections - 1

    def check(self) -> None:
        """Raise ViewLostError if the view is gone. Asks now and then."""
        if time.monotonic() - self._asked < _ASKED_SECONDS:
            return
        try:
            self._session.rows("SELECT 1 AS alive")
        except ConnectionLostError as error:
            raise ViewLostError(str(error)) from None
        self._asked = time.monotonic()

    def reopened(self) -> DatabaseView:
        """The source as it is now; this view is closed. A server that is being started again is waited for."""
        self.close()
        return DatabaseView(
            self._database,
            self._ids,
            self._fields,
            patience_seconds=_REOPENING_SECONDS,
            sleep=self._sleep,
            dated=self._dated,
        )

    def close(self) -> None:
        """Let go of the view and of the database."""
        self._session.close()

    def _parts(self) -> tuple[RangePart, ...]:
        session, database = self._session, self._database
        session.begin()
        try:
            schema = session.schema(select("*", database))
        except ConfigurationError as error:
            if self._dated and getattr(error.__cause__, "sqlstate", None) == "42P01":
                raise NotThereYetError(f"source {database.name}: not there yet: there is no such table") from None
            raise
        selection = selection_of(database, schema, self._ids, self._fields)
        ranges = cut(session, database, self._ids, self.at_once)
        [row] = session.rows("SELECT pg_export_snapshot() AS view")
        return tuple(
            RangePart(database, selection, within, row["view"], number, len(ranges))
            for number, within in enumerate(ranges, 1)
        )
