"""The view on a PostgreSQL source: rows of one moment, whatever happens meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pyarrow as pa
import pytest

from kizami.database import Database
from kizami.errors import ConfigurationError
from kizami.sources import ViewLostError, open_origin
from kizami.sources.postgresql import reading
from support import lines
from support.postgres_server import PostgresServer
from support.reading import digest_of
from support.recipe_table import RECIPE_FIELDS, read


@pytest.mark.shared
def test_ranges_are_of_one_moment_while_rows_change(
    large: PostgresServer, postgres: PostgresServer, parquet: str
) -> None:
    """Another connection updates, inserts and deletes all the while; what is read is what stood there at the start."""
    large.execute("CREATE TABLE moving AS TABLE lines", "ALTER TABLE moving ADD PRIMARY KEY (doc_id)", "ANALYZE moving")
    done = threading.Event()
    statements = (
        "UPDATE moving SET title = title || '!' WHERE number % 50 = {n} % 50",
        "INSERT INTO moving SELECT site, number, doc_id || '-{n}', title FROM moving WHERE number % 100 = {n} % 100",
        "DELETE FROM moving WHERE number % 90 = {n} % 90",
    )
    rounds = 0

    def disturb() -> None:
        nonlocal rounds
        with large.connected() as connection, connection.cursor() as cursor:
            while not done.is_set():
                cursor.execute(statements[rounds % 3].format(n=rounds))
                rounds += 1

    origin = open_origin(Database(large.url, table="moving"), id_column="doc_id", fields=lines.FIELDS)
    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        # The first statements are in before the first range is read.
        while rounds < 3:
            time.sleep(0.05)
        blocks = read(origin, "doc_id", lines.FIELDS)
        seen = rounds
    finally:
        done.set()
        thread.join()
        origin.close()
    assert seen >= 3
    assert digest_of(blocks) == digest_of(lines.read_parquet(parquet, "doc_id"))
    again = open_origin(Database(large.url, table="moving"), id_column="doc_id", fields=lines.FIELDS)
    assert digest_of(read(again, "doc_id", lines.FIELDS)) != digest_of(blocks)
    again.close()
    large.execute("DROP TABLE moving")


class Disturbance:
    """Something done once, when so many batches of ranges were fetched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int, act: Callable[[], None]) -> None:
        self.done = 0
        original = reading._plain
        seen = 0

        def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
            nonlocal seen
            seen += 1
            if seen == after and not self.done:
                self.done += 1
                act()
            return original(batch)

        monkeypatch.setattr(reading, "_plain", plain)
        monkeypatch.setattr("kizami.sources.postgresql.connection._BATCH_BYTES", 100_000)
        monkeypatch.setattr(reading, "_PAUSE_SECONDS", 0.01)


@pytest.mark.shared
def test_a_lost_connection_restarts_its_range_in_the_same_view(
    large: PostgresServer, postgres: PostgresServer, parquet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is ended in the middle of a range, and the table changes: no row is there twice, and none is new."""
    large.execute("CREATE TABLE losing AS TABLE lines", "ANALYZE losing")
    origin = open_origin(Database(large.url, table="losing"), id_column="doc_id", fields=lines.FIELDS)

    def act() -> None:
        ended = large.query(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{large.reader}' "
            "AND state = 'active' AND query LIKE 'COPY%'"
        )
        assert ended == [True]
        large.execute("UPDATE losing SET title = '変わった'", "DELETE FROM losing WHERE number % 2 = 0")

    # Early: what the server has sent waits in buffers, and the end of the range is not to be among it.
    disturbance = Disturbance(monkeypatch, 4, act)
    blocks = read(origin, "doc_id", lines.FIELDS)
    origin.close()
    assert disturbance.done
    assert digest_of(blocks) == digest_of(lines.read_parquet(parquet, "doc_id"))
    large.execute("DROP TABLE losing")


@pytest.mark.shared
def test_without_the_exporting_connection_nothing_more_is_read(
    large: PostgresServer, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A range that would be of another moment is an error of its own, and so is the view itself."""
    origin = open_origin(Database(large.url, table="lines"), id_column="doc_id", fields=lines.FIELDS)
    for pid in large.sessions():
        large.query(f"SELECT pg_terminate_backend({pid})")
    with pytest.raises(ViewLostError, match="cannot be seen any more"):
        read(origin, "doc_id", lines.FIELDS)
    monkeypatch.setattr("kizami.sources.postgresql.view._ASKED_SECONDS", 0)
    with pytest.raises(ViewLostError):
        origin.check()
    again = origin.reopened()
    again.check()
    assert sum(block.documents for block in read(again, "doc_id", lines.FIELDS)) == lines.DOCUMENTS
    again.close()


def test_a_reader_gives_way_to_who_alters_the_table(
    postgres: PostgresServer, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He waits for our view, and readers that come behind him would wait for him: they give up, and he can go on."""
    monkeypatch.setattr("kizami.sources.postgresql.connection._LOCK_SECONDS", 1)
    origin = open_origin(Database(postgres.url, table=table), id_column="id", fields=RECIPE_FIELDS)
    thread = threading.Thread(target=lambda: postgres.execute("ALTER TABLE recipes DROP COLUMN title"))
    thread.start()
    try:
        while not postgres.query("SELECT 1 AS n FROM pg_locks WHERE NOT granted"):
            time.sleep(0.05)
        with pytest.raises(ViewLostError, match="altering"):
            read(origin)
    finally:
        origin.close()
        thread.join()
    with pytest.raises(ConfigurationError, match="no column title"):
        origin.reopened()


def test_a_reader_in_a_long_statement_gives_way(
    postgres: PostgresServer, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds its lock already and hears of nobody: the view that it reads is given up, and its session ended."""
    monkeypatch.setattr("kizami.sources.postgresql.view._ASKED_SECONDS", 0.1)
    monkeypatch.setattr("kizami.sources.postgresql.view._WAITING_SECONDS", 0.5)
    query = f"SELECT id, title FROM {table} WHERE pg_sleep(200) IS NOT NULL"
    origin = open_origin(Database(postgres.url, query=query), id_column="id", fields=["title"])
    ends: list[BaseException] = []

    def to_the_end() -> None:
        try:
            read(origin, fields=["title"])
        except ViewLostError as error:
            ends.append(error)

    def look_while_he_waits() -> None:
        while threads[1].is_alive():
            origin.check()

    threads = [
        threading.Thread(target=to_the_end),
        threading.Thread(target=lambda: postgres.execute("ALTER TABLE recipes ADD COLUMN note text")),
    ]
    try:
        origin.check()
        threads[0].start()
        while not postgres.sessions(["query LIKE '%pg_sleep%'", "state = 'active'"]):
            time.sleep(0.05)
        threads[1].start()
        with pytest.raises(ViewLostError, match="altering"):
            look_while_he_waits()
    finally:
        origin.close()
        postgres.query(
            "SELECT pg_terminate_backend(pid) AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(200)%'"
            " AND pid <> pg_backend_pid()"
        )
        for thread in threads:
            thread.join()
    assert "cannot be seen any more" in str(ends[0])


def test_who_may_not_see_locks_keeps_the_view(
    postgres: PostgresServer, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may hide them: then nobody is given way to, but all is read."""
    monkeypatch.setattr("kizami.sources.postgresql.view._ASKED_SECONDS", 0)
    monkeypatch.setenv("PGPASSWORD", "plain-secret-of-the-tests")
    postgres.execute(
        "CREATE ROLE plain LOGIN PASSWORD 'plain-secret-of-the-tests'",
        f"GRANT SELECT ON {table} TO plain",
        "REVOKE SELECT ON pg_locks FROM PUBLIC",
    )
    try:
        url = f"postgresql://plain@127.0.0.1:{postgres.port}/{postgres.database}"
        origin = open_origin(Database(url, table=table), id_column="id", fields=RECIPE_FIELDS)
        origin.check()
        assert sum(block.documents for block in read(origin)) == 3
        origin.close()
    finally:
        postgres.execute("GRANT SELECT ON pg_locks TO PUBLIC", "DROP OWNED BY plain", "DROP ROLE plain")


def test_the_view_and_the_readers_keep_to_the_limit(postgres: PostgresServer, table: str) -> None:
    """One connection keeps the view, and so many read as are left."""
    for connections in (2, 5):
        database = Database(postgres.url, table=table, connections=connections)
        origin = open_origin(database, id_column="id", fields=RECIPE_FIELDS)
        assert origin.at_once == connections - 1
        assert len(postgres.sessions()) == 1
        origin.close()
