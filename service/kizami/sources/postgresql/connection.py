"""Connection: one session with PostgreSQL through ADBC, and what its errors mean for whoever runs Kizami."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import pyarrow as pa

from kizami.database import Database
from kizami.errors import ConfigurationError, DataError, KizamiError, UnavailableError
from kizami.sources.files import one_line

_BATCH_BYTES: Final = 4 << 20
_LOCK_SECONDS: Final = 10
"""How long a reader waits for somebody who alters the table: he himself waits for our view to go."""
_LONGEST_TIMEOUT: Final = 2**31 - 1
"""Milliseconds, of 24 days; PostgreSQL refuses more."""
_PATIENCE: Final = {
    "connect_timeout": "15",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""libpq's own is that of TCP, up to two hours."""
_LOST: Final = ("08", "57P", "25P03", "25P04", "40001", "53", "58")
"""SQLSTATEs of a session or a server that went away or is short of something; 40001: a standby that had to move on."""
_CANCELLED: Final = "57014"
_GIVES_WAY: Final = "55P03"
_TOO_OLD: Final = "72000"
_NO_VIEW: Final = ("22023", "42704", "55000", "58P01")
"""What importing a view that is not there any more fails with."""
_CONFIGURATION: Final = ("3D", "28", "42", "0A", "3F", "25006")
_REFUSED: Final = (
    # Before a session begins libpq gives no SQLSTATE, only the server's words, in the server's language.
    "password authentication failed",
    "authentication failed for user",
    "no password supplied",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "does not exist",
    "is not permitted to log in",
    "permission denied",
    "root certificate file",
    "invalid connection option",
    "invalid uri query parameter",
    "invalid port number",
    "invalid sslmode value",
    "invalid integer value",
    "unrecognized configuration parameter",
    "but ssl was required",
    "certificate verify failed",
    "does not match host name",
    "unexpected spaces found",
    "認証に失敗しました",
    "は存在しません",
    "用のエントリがありません",
    "ログインが許可されません",
    "アクセスが拒否されました",
)
"""Nobody gets in until something is corrected."""


class ViewLostError(UnavailableError):
    """The moment that was being read cannot be seen any more: whatever was read of it is to be thrown away."""


class ConnectionLostError(UnavailableError):
    """The session or the server went away; another one may be opened."""


class Session:
    """A connection in which one statement at a time is executed. Every failure is one of ``kizami.errors``."""

    def __init__(self, database: Database) -> None:
        """Connect. Raises ConfigurationError where nobody is let in, ConnectionLostError where nobody answers."""
        dbapi = _driver()
        self._database = database
        try:
            self._connection = dbapi.connect(_url(database.url), autocommit=True)
        except dbapi.Error as error:
            raise _unconnected(database, error) from None
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        timeout = min(max(1, round(self._database.statement_timeout_seconds * 1000)), _LONGEST_TIMEOUT)
        for name, value in {
            "statement_timeout": str(timeout),
            "lock_timeout": str(_LOCK_SECONDS * 1000),
            "max_parallel_workers_per_gather": "0",  # the limit on connections is one on processes, too
            "synchronize_seqscans": "off",  # or a LIMIT would be other rows in each range
            "standard_conforming_strings": "on",
            "client_encoding": "UTF8",
        }.items():
            self.execute(f"SET {name} = '{value}'")
        # A session that only keeps a view is idle in its transaction; the second came with PostgreSQL 17.
        self.rows(
            "SELECT set_config(name, '0', false) AS value FROM pg_settings WHERE name IN "
            "('idle_in_transaction_session_timeout', 'transaction_timeout', 'idle_session_timeout')"
        )

    def execute(self, sql: str) -> None:
        """Execute a statement without an answer."""
        with self._executed(sql):
            pass

    def rows(self, sql: str, *, copy: bool = True) -> list[dict[str, Any]]:
        """The answer to a statement, of few rows. Without ``copy`` it may be an EXPLAIN or a SHOW."""
        with self._executed(sql, copy=copy) as reader:
            return [row for batch in self._guarded(reader) for row in batch.to_pylist()]

    def plan(self, sql: str) -> dict[str, Any]:
        """What the planner thinks of a SELECT, which is not executed."""
        [row] = self.rows(f"EXPLAIN (FORMAT JSON) {sql}", copy=False)
        plan: dict[str, Any] = json.loads(next(iter(row.values())))[0]["Plan"]
        return plan

    def schema(self, sql: str) -> pa.Schema:
        """The columns of a SELECT, which is executed for no row."""
        with self._executed(f"{sql} LIMIT 0") as reader:
            return reader.schema

    @contextmanager
    def batches(self, sql: str) -> Iterator[Iterator[pa.RecordBatch]]:
        """The rows of a SELECT as they come, a few MiB at a time."""
        with self._executed(sql) as reader:
            yield self._guarded(reader)

    def begin(self, view: str | None = None) -> None:
        """Begin a transaction that only reads and sees one moment: now, or that of a view exported elsewhere.

        Raises ViewLostError where there is no such view any more.
        """
        self.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if view is not None:
            try:
                self.execute(f"SET TRANSACTION SNAPSHOT '{view}'")
            except ConnectionLostError:
                raise
            except KizamiError as error:
                if isinstance(error.__cause__, Exception) and _state(error.__cause__) in _NO_VIEW:
                    raise ViewLostError(_view_lost(self._database)) from None
                raise

    def close(self) -> None:
        """End the session; one that is gone already is left alone."""
        with suppress(Exception):  # what it was for is done or has failed
            self._connection.close()

    def _guarded(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        # Around the reader alone: what is done with a batch has errors of its own.
        try:
            yield from reader
        except (_driver().Error, OSError, pa.ArrowException) as error:
            raise _failed(self._database, error) from error

    @contextmanager
    def _executed(self, sql: str, *, copy: bool = True) -> Iterator[Any]:
        dbapi = _driver()
        try:
            cursor = self._connection.cursor()
        except dbapi.Error as error:
            raise _failed(self._database, error) from error
        try:
            try:
                cursor.adbc_statement.set_options(
                    **{
                        "adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES),
                        "adbc.postgresql.use_copy": "true" if copy else "false",
                    }
                )
                cursor.execute(sql)
            except dbapi.Error as error:
                raise _failed(self._database, error) from error
            # Not fetch_record_batch(): it hands on pyarrow's own reader, whose errors have lost their SQLSTATE
            # (apache/arrow-adbc#1523).
            yield cursor._results.reader
        finally:
            with suppress(Exception):
                cursor.close()


def connect_patiently(database: Database, seconds: float, *, sleep: Callable[[float], None] = time.sleep) -> Session:
    """Connect, and while nobody answers try again for so long. Raises what ``Session`` does."""
    end = time.monotonic() + seconds
    pause = 0.25
    while True:
        try:
            return Session(database)
        except ConnectionLostError:
            if time.monotonic() + pause > end:
                raise
        sleep(pause)
        pause = min(2 * pause, 5)


def _driver() -> Any:
    # Imported here: reading files needs no driver.
    try:
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is not installed: reading a database needs pip install 'kizami[jobs]' on every host"
        ) from error
    return dbapi


def _url(url: str) -> str:
    base, _, query = url.partition("?")
    given = parse_qsl(query, keep_blank_values=True)
    names = {name for name, _ in given} | ({"connect_timeout"} if "PGCONNECT_TIMEOUT" in os.environ else set())
    added = [(name, value) for name, value in _PATIENCE.items() if name not in names]
    if "application_name" not in names and "PGAPPNAME" not in os.environ:
        added.append(("application_name", "kizami"))
    # What is given stays as it is written: libpq does not take + for a space.
    return f"{base}?{'&'.join(filter(None, (query, urlencode(added))))}"


def _unconnected(database: Database, error: Exception) -> KizamiError:
    said = _without_secrets(one_line(error).rpartition("Failed to connect: ")[2])
    if any(words in said.lower() for words in _REFUSED):
        return ConfigurationError(
            f"source {database.name}: {said}; correct source, or the user and password in the environment (PGUSER, "
            "PGPASSWORD) or ~/.pgpass of the host"
        )
    return ConnectionLostError(f"source {database.name}: the database does not answer: {said}; run again")


def _without_secrets(said: str) -> str:
    # libpq names users, hosts and databases, never a password; should one stand in its words, it goes.
    password = os.environ.get("PGPASSWORD")
    return said.replace(password, "***") if password and len(password) > 3 else said


def _state(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def _failed(database: Database, error: Exception) -> KizamiError:
    """The error to raise for one of the driver's."""
    state = _state(error)
    said = _primary(error) or ""
    if state is None or state.startswith(_LOST):
        what = f"{said} (SQLSTATE {state})" if state else "the connection was lost"
        return ConnectionLostError(f"source {database.name}: {what}; run again")
    if state == _CANCELLED:
        return UnavailableError(
            f"source {database.name}: {said}; statement_timeout is {database.statement_timeout_seconds:g} s: raise it, "
            "or help the query with an index"
        )
    if state == _TOO_OLD:
        return ViewLostError(_view_lost(database))
    if state == _GIVES_WAY:
        return gave_way(database)
    if state.startswith(_CONFIGURATION):
        return ConfigurationError(
            f"source {database.name}: {said} (SQLSTATE {state}); correct table, query, id or fields"
        )
    # Not the server's words: those of a fault in the data quote it.
    return DataError(
        f"source {database.name}: the query failed on the data, with SQLSTATE {state}; correct the query or the data"
    )


def gave_way(database: Database) -> ViewLostError:
    """The error to raise where the view is given up for somebody who alters the source."""
    return ViewLostError(f"source {database.name}: somebody is altering it, and this run gave way; run again")


def _primary(error: Exception) -> str | None:
    details: Sequence[tuple[object, bytes]] = getattr(error, "details", None) or ()
    for name, value in details:
        if name in {"PG_DIAG_MESSAGE_PRIMARY", b"PG_DIAG_MESSAGE_PRIMARY"}:
            return " ".join(value.decode("utf-8", "replace").split())
    return None


def _view_lost(database: Database) -> str:
    return (
        f"source {database.name}: the moment being read cannot be seen any more, as its connection was lost; run again"
    )
