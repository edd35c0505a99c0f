"""View: a source in a database at one moment, kept in sight by a connection while others read it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from kizami.database import Database
from kizami.errors import ConfigurationError
from kizami.sources.files import NotThereYetError
from kizami.sources.postgresql.columns import Selection, selection_of
from kizami.sources.postgresql.connection import ConnectionLostError, ViewLostError, connect_patiently, gave_way
from kizami.sources.postgresql.cutting import cut
from kizami.sources.postgresql.sql import IdRange, select

_FIRST_PATIENCE_SECONDS: Final = 5.0
_REOPENING_SECONDS: Final = 120.0
"""A server that is started again was just there, and will be back."""
_ASKED_SECONDS: Final = 2.0
_WAITING_SECONDS: Final = 6.0
"""For how long somebody who alters the source is let wait: everybody else waits behind him."""
_WAITED_FOR: Final = (
    "SELECT EXISTS (SELECT FROM pg_locks AS theirs JOIN pg_locks AS ours USING (database, relation) WHERE "
    "ours.pid = pg_backend_pid() AND NOT theirs.granted AND theirs.mode = 'AccessExclusiveLock') AS waited_for"
)
"""The one lock that readers stand in the way of."""
_MAY_ASK: Final = "SELECT has_table_privilege('pg_catalog.pg_locks', 'SELECT') AS may_ask"
_ALIVE: Final = "SELECT false AS waited_for"
_END_READERS: Final = (
    "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
    "AND usename = session_user AND application_name = current_setting('application_name') AND pid IN ("
    "SELECT theirs.pid FROM pg_locks AS theirs JOIN pg_locks AS ours USING (database, relation) "
    "WHERE ours.pid = pg_backend_pid() AND relation >= 16384)"
)
"""A reader that waits for the database cannot be told otherwise. Another run's on the same table is in the way, too,
and begins again. Below that number are the catalogue's own tables."""


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
        self._waited_for: float | None = None
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
        """Raise ViewLostError if the view is gone, or is given up for somebody who waits to alter the source. Asks now
        and then."""
        if time.monotonic() - self._asked < _ASKED_SECONDS:
            return
        try:
            [row] = self._session.rows(self._question)
            self._asked = time.monotonic()
            if not row["waited_for"]:
                self._waited_for = None
            elif self._waited_for is None:
                self._waited_for = self._asked
            elif self._asked - self._waited_for >= _WAITING_SECONDS:
                with suppress(ConfigurationError):  # they end by themselves, only later
                    self._session.rows(_END_READERS)
                self.close()
                raise gave_way(self._database)
        except ConnectionLostError as error:
            raise ViewLostError(str(error)) from None

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
        # Asked beforehand: a refusal would end the transaction, and the view with it.
        [allowed] = session.rows(_MAY_ASK)
        self._question = _WAITED_FOR if allowed["may_ask"] else _ALIVE
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
