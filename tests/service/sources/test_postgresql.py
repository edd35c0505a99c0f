"""PostgreSQL as a source: the rows that Parquet gives, of one moment, whatever happens meanwhile."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest

from kizami.database import Database
from kizami.errors import ConfigurationError, UnavailableError
from kizami.sources import Block, NotThereYetError, Origin, ViewLostError, list_files, open_origin, read_texts
from kizami.sources.postgresql import connection, cutting, reading
from kizami.sources.postgresql.sql import IdRange
from kizami.sources.postgresql.view import DatabaseView
from support import lines
from support.postgres_server import PostgresServer
from support.reading import digest_of, rows_in, table_of

RECIPE_FIELDS = ("title", "steps", "ingredients.name")
Id = str | tuple[str, ...]


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


def content(blocks: Sequence[Block]) -> pa.Table:
    """All that is to be the same, whatever the files or ranges."""
    names = ["doc_id", "field", "position"]
    return table_of(blocks).drop_columns(["file", "line"]).sort_by([(name, "ascending") for name in names])


@pytest.fixture(scope="module")
def large(postgres_server: PostgresServer, shared_corpora: None) -> PostgresServer:
    """The server with 200,500 documents in the table ``lines``."""
    lines.load(postgres_server, "lines")
    return postgres_server


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory, shared_corpora: None) -> str:
    """The same documents as Parquet."""
    return str(lines.write_parquet(tmp_path_factory.mktemp("lines") / "lines.parquet"))


def read_parquet(path: str, id_column: Id) -> list[Block]:
    """All blocks of the Parquet file."""
    [file] = list_files(path)
    return list(read_texts(file, file_index=0, id_column=id_column, fields=lines.FIELDS))


@pytest.fixture
def table(postgres: PostgresServer) -> Iterator[str]:
    """A table of a few recipes, gone afterwards."""
    postgres.execute(
        "CREATE TABLE recipes (id text PRIMARY KEY, title text, steps text[], ingredients jsonb)",
        """INSERT INTO recipes VALUES
        ('r-1', '卵焼き', '{溶く,NULL,焼く}', '[{"name": "卵"}, null, {"name": null}, {"name": "塩", "n": 1}]'),
        ('r-2', '', '{}', NULL), ('r-3', NULL, NULL, '[]')""",
    )
    yield "recipes"
    postgres.execute("DROP TABLE recipes")


RECIPE_ROWS = [
    ("r-1", "ingredients.name", 0, "卵", None),
    ("r-1", "ingredients.name", 3, "塩", None),
    ("r-1", "steps", 0, "溶く", None),
    ("r-1", "steps", 2, "焼く", None),
    ("r-1", "title", 0, "卵焼き", None),
    ("r-2", "title", 0, "", None),
    ("r-3", None, None, None, None),
]


@pytest.mark.shared
@pytest.mark.parametrize("id_column", ["doc_id", "number", ("site", "number")])
def test_200000_documents_are_equal_to_parquet(
    large: PostgresServer, postgres: PostgresServer, parquet: str, id_column: Id
) -> None:
    """Text, integer and composite ids: every row and every digest, read in several ranges."""
    origin = open_origin(Database(large.url, table="lines"), id_column=id_column, fields=lines.FIELDS)
    assert len(origin.parts) >= 3
    blocks = read(origin, id_column, lines.FIELDS)
    origin.close()
    expected = read_parquet(parquet, id_column)
    assert sum(block.documents for block in blocks) == lines.DOCUMENTS
    assert digest_of(blocks) == digest_of(expected)
    assert content(blocks).equals(content(expected))


@pytest.mark.shared
def test_a_query_is_equal_to_parquet_in_many_ranges(
    large: PostgresServer, postgres: PostgresServer, parquet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SELECT is cut too where it is large, and JSON that is not binary is JSON."""
    monkeypatch.setattr("kizami.sources.postgresql.cutting.RANGE_BYTES", 4 << 20)
    query = "SELECT number, title, steps, plain AS ingredients FROM lines -- all of them\n;"
    origin = open_origin(Database(large.url, query=query), id_column="number", fields=lines.FIELDS)
    assert len(origin.parts) > 4
    blocks = read(origin, "number", lines.FIELDS)
    origin.close()
    assert digest_of(blocks) == digest_of(read_parquet(parquet, "number"))


@pytest.mark.shared
def test_rows_that_a_query_takes_as_they_come_are_the_same_in_each_range(
    large: PostgresServer, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan of the table begins at its beginning, not where another one is: neither LIMIT nor row_number() differs."""
    monkeypatch.setattr("kizami.sources.postgresql.cutting.RANGE_BYTES", 4 << 20)
    monkeypatch.setattr("kizami.sources.postgresql.cutting._DEARER", 1000.0)
    query = "SELECT number, title FROM lines LIMIT 150000"
    origin = open_origin(Database(large.url, query=query), id_column="number", fields=["title"])
    assert len(origin.parts) > 3
    ids = content(read(origin, "number", ["title"]))["doc_id"]
    origin.close()
    assert (len(ids), len(ids.unique())) == (150_000, 150_000)


def test_a_timeout_is_as_long_as_the_database_takes(postgres: PostgresServer, table: str) -> None:
    """Beyond 24 days it has none that is longer."""
    assert len(rows(postgres, table=table, statement_timeout_seconds=1000 * 3600)) == len(RECIPE_ROWS)


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
    assert digest_of(blocks) == digest_of(read_parquet(parquet, "doc_id"))
    again = open_origin(Database(large.url, table="moving"), id_column="doc_id", fields=lines.FIELDS)
    assert digest_of(read(again, "doc_id", lines.FIELDS)) != digest_of(blocks)
    again.close()
    large.execute("DROP TABLE moving")


@pytest.mark.parametrize("what", ["table", "query", "view"])
def test_arrays_and_json_are_lists_and_lists_of_objects(postgres: PostgresServer, table: str, what: str) -> None:
    """text[] is a list of strings, JSON a list of objects with keys; null elements keep their position."""
    if what == "view":
        postgres.execute("CREATE VIEW recipe_view AS SELECT * FROM recipes")
        found = rows(postgres, table="recipe_view")
        postgres.execute("DROP VIEW recipe_view")
    else:
        found = rows(postgres, **{what: "recipes" if what == "table" else "SELECT * FROM recipes;"})
    assert found == RECIPE_ROWS


def test_types_of_their_own_are_read_through_json(postgres: PostgresServer) -> None:
    """Arrays of a composite type, enums and domains; an id that is a uuid."""
    postgres.execute(
        "CREATE TYPE ingredient AS (name text, grams int)",
        "CREATE TYPE season AS ENUM ('春', '夏')",
        "CREATE DOMAIN japanese AS text",
        "CREATE TABLE typed (id uuid, title japanese, steps season[], ingredients ingredient[], object json)",
        "INSERT INTO typed VALUES ('6f1c3d0a-0000-4000-8000-00000000000b', '卵', '{夏,NULL}', "
        """ARRAY[('塩', 3)::ingredient, NULL, ('酢', 5)::ingredient], '{"name": ["一", "二"], "more": {"a": 1}}')""",
    )
    fields = ("title", "steps", "ingredients.name", "object.name")
    found = [row[1:4] for row in rows(postgres, fields=fields, table="typed")]
    assert rows(postgres, fields=fields, table="typed")[0][0] == "6f1c3d0a-0000-4000-8000-00000000000b"
    assert found == [
        ("ingredients.name", 0, "塩"),
        ("ingredients.name", 2, "酢"),
        ("object.name", 0, "一"),
        ("object.name", 1, "二"),
        ("steps", 0, "夏"),
        ("title", 0, "卵"),
    ]
    postgres.execute("DROP TABLE typed", "DROP TYPE ingredient, season", "DROP DOMAIN japanese")


def test_faults_of_documents_are_held_back(postgres: PostgresServer) -> None:
    """A null id, numbers where text belongs, halves of characters in JSON, and JSON that is nested more deeply or has
    longer numbers than Python reads are rows with a reason."""
    postgres.execute(
        "CREATE TABLE faults (id bigint, title json)",
        r"""INSERT INTO faults VALUES (NULL, '"卵"'), (-2, '5'), (3, '"\ud800"'), (4, '["a", {"b": 1}]'),
        (5, '"\u0000"'), (6, 'null'), (7, (repeat('[', 3000) || repeat(']', 3000))::json),
        (8, repeat('9', 5000)::json)""",
    )
    found = rows(postgres, fields=["title"], table="faults")
    assert [(row[0], row[3], row[4]) for row in found] == [
        ("-2", None, "not_text"),
        ("3", None, "invalid_unicode"),
        ("4", None, "not_text"),
        ("4", None, "not_text"),
        ("5", "\0", None),
        ("6", None, None),
        ("7", None, "not_text"),
        ("8", None, "not_text"),
        (None, None, "null_id"),
    ]
    postgres.execute("DROP TABLE faults")


def test_rows_with_nulls_in_their_id_are_read_once(postgres: PostgresServer) -> None:
    """Of ids of two columns either may be null; no range but the last has such a row."""
    postgres.execute(
        "CREATE TABLE pairs AS SELECT CASE WHEN n % 11 > 0 THEN 'site ' || n % 5 END AS site, "
        "CASE WHEN n % 13 > 0 THEN n END AS number, '卵' AS title FROM generate_series(1, 20000) AS n",
        "CREATE INDEX ON pairs (site, number)",
        "ANALYZE pairs",
    )
    origin = open_origin(Database(postgres.url, table="pairs"), id_column=("site", "number"), fields=["title"])
    assert isinstance(origin, DatabaseView)
    assert origin.parts[-1].within == IdRange(nulls=True)
    blocks = read(origin, ("site", "number"), ["title"])
    origin.close()
    assert sum(block.documents for block in blocks) == 20_000
    nulls = sum(not (number % 11 and number % 13) for number in range(1, 20_001))
    assert sum(block.doc_ids.null_count for block in blocks) == nulls
    assert len({each for block in blocks for each in block.doc_ids.to_pylist()}) == 20_000 - nulls + 1
    postgres.execute("DROP TABLE pairs")


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
    assert digest_of(blocks) == digest_of(read_parquet(parquet, "doc_id"))
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


def test_a_slow_statement_is_ended(postgres: PostgresServer) -> None:
    """The database ends it, and the message names the key."""
    database = Database(
        postgres.url, query="SELECT 'a' AS id, pg_sleep(60)::text AS title", statement_timeout_seconds=0.5
    )
    origin = open_origin(database, id_column="id", fields=["title"])
    with pytest.raises(UnavailableError, match=r"statement_timeout is 0\.5 s"):
        read(origin, fields=["title"])
    origin.close()


def test_ids_are_sampled_in_bounded_memory_however_wrong_the_planner_is(postgres: PostgresServer) -> None:
    """A query of which the planner expects 6,000 rows has 200,000: not all of their ids come here, and what comes is
    in the order of the numbers, not of their digits."""
    database = Database(postgres.url, query="SELECT n AS id FROM generate_series(1, 200000) AS n")
    session = connection.Session(database)
    sample = [int(number) for (number,) in cutting._sample(session, database, ["id"], 6000.0, None)]
    session.close()
    assert 1000 < len(sample) <= 60_000
    assert sample == sorted(sample)


def test_a_full_disk_is_no_lost_connection(
    postgres: PostgresServer, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is tried again for nothing, and the message names the folder."""
    origin = open_origin(Database(postgres.url, table=table), id_column="id", fields=RECIPE_FIELDS)

    def full(_: pa.RecordBatch) -> pa.RecordBatch:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(reading, "_plain", full)
    with pytest.raises(UnavailableError, match="No space left on device; make room, or name another folder in TMPDIR"):
        read(origin)
    origin.close()


def test_readers_cannot_write(postgres: PostgresServer, table: str) -> None:
    """A query that would change something is refused, whoever the user is."""
    postgres.execute(
        "CREATE FUNCTION cleared() RETURNS text LANGUAGE sql AS $$ DELETE FROM recipes RETURNING id $$",
        f"GRANT ALL ON recipes TO {postgres.reader}",
    )
    with pytest.raises(ConfigurationError, match="read-only transaction"):
        rows(postgres, fields=["title"], query="SELECT cleared() AS id, 'a' AS title")
    assert rows(postgres, table=table) == RECIPE_ROWS
    postgres.execute("DROP FUNCTION cleared")


def test_the_view_and_the_readers_keep_to_the_limit(postgres: PostgresServer, table: str) -> None:
    """One connection keeps the view, and so many read as are left."""
    for connections in (2, 5):
        database = Database(postgres.url, table=table, connections=connections)
        origin = open_origin(database, id_column="id", fields=RECIPE_FIELDS)
        assert origin.at_once == connections - 1
        assert len(postgres.sessions()) == 1
        origin.close()


@pytest.mark.parametrize(
    ("what", "id_column", "fields", "error", "message"),
    [
        ({"table": "recipe"}, "id", ["title"], ConfigurationError, 'relation "recipe" does not exist'),
        ({"table": "secrets.recipes"}, "id", ["title"], ConfigurationError, 'relation "secrets.recipes" does not'),
        ({"query": "SELECT id FROM recipes"}, "id", ["title"], ConfigurationError, "no column title"),
        ({"query": "SELECT ids FROM recipes"}, "id", ["title"], ConfigurationError, 'column "ids" does not exist'),
        ({"query": "SELECT 1; SELECT 2"}, "id", ["title"], ConfigurationError, "syntax error"),
        ({"query": "SELECT 1) AS x; DROP TABLE recipes; --"}, "id", ["title"], ConfigurationError, "syntax error"),
        ({"table": "recipes"}, "recipe_id", ["title"], ConfigurationError, "no column recipe_id"),
        ({"table": "recipes"}, "id", ["titel"], ConfigurationError, r"titel \(did you mean title\?\)"),
        ({"table": "recipes"}, "steps", ["title"], ConfigurationError, "id steps has the type _text"),
        ({"table": "recipes"}, "id", ["title.name"], ConfigurationError, "field title.name has the type text"),
        ({"query": "SELECT 1.5::float8 AS id, 'a' AS title"}, "id", ["title"], ConfigurationError, "the type float8"),
        ({"query": "SELECT 'a' AS id, 1 AS title"}, "id", ["title"], ConfigurationError, "the type int4"),
        (
            {"query": "SELECT 'a' AS id, 'b' AS title, 'c' AS title"},
            "id",
            ["title"],
            ConfigurationError,
            "ambiguous|several",
        ),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    postgres: PostgresServer,
    table: str,
    what: dict[str, str],
    id_column: str,
    fields: list[str],
    error: type[Exception],
    message: str,
) -> None:
    """Before anything is read, with the names there are."""
    with pytest.raises(error, match=message) as raised:
        open_origin(Database(postgres.url, **what), id_column=id_column, fields=fields)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    assert postgres.sessions() == []


def test_a_table_of_a_date_that_is_not_there_is_waited_for(postgres: PostgresServer) -> None:
    """It is not there yet, where another table would be a mistake."""
    database = Database(postgres.url, table="recipes_2026-11-27")
    with pytest.raises(NotThereYetError, match="not there yet"):
        open_origin(database, id_column="id", fields=["title"], dated=True)


@pytest.mark.parametrize(
    ("url", "environment", "error", "message"),
    [
        ("{url}", {"PGPASSFILE": "/dev/null", "PGPASSWORD": "wrong-secret"}, ConfigurationError, "password"),
        ("{url}", {"PGPASSFILE": "/nowhere/pgpass"}, ConfigurationError, "password"),
        ("{url}-nowhere", {}, ConfigurationError, "does not exist"),
        ("postgresql://127.0.0.1:1/kizami", {}, UnavailableError, "does not answer"),
        ("postgresql://127.0.0.1:abc/kizami", {}, ConfigurationError, "invalid integer value"),
        ("{url}?sslmode=require", {}, ConfigurationError, "SSL was required"),
        ("{url}?options=-c%20nosuch%3D1", {}, ConfigurationError, "unrecognized configuration parameter"),
    ],
)
def test_who_is_not_let_in_is_told_why(
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    environment: dict[str, str],
    error: type[Exception],
    message: str,
) -> None:
    """A wrong password is for whoever configures it, a server that is away may come back; no password is repeated."""
    monkeypatch.setattr("kizami.sources.postgresql.view._FIRST_PATIENCE_SECONDS", 0)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    database = Database(url.format(url=postgres.url), table="recipes")
    with pytest.raises(error, match=message) as raised:
        DatabaseView(database, ["id"], ["title"], patience_seconds=0)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ('FATAL:  password authentication failed for user "reader"', ConfigurationError),
        ('致命的エラー: ユーザー"reader"のパスワード認証に失敗しました', ConfigurationError),
        ('致命的エラー: データベース"kitchen"は存在しません', ConfigurationError),
        ('致命的エラー: ロール"reader"はログインが許可されません', ConfigurationError),
        ("FATAL:  the database system is starting up", UnavailableError),
        ("致命的エラー: データベースシステムは起動処理中です", UnavailableError),
        ("FATAL:  sorry, too many clients already", UnavailableError),
        ('could not translate host name "db.internal" to address: Name or service not known', UnavailableError),
    ],
)
def test_a_servers_words_are_understood_in_both_languages(
    said: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a session begins there is no SQLSTATE, and a password that stands in them is not repeated."""
    monkeypatch.setenv("PGPASSWORD", "hunter2-secret")
    failure = Exception(f'IO: [libpq] Failed to connect: connection to "db" failed: {said} hunter2-secret\n')
    raised = connection._unconnected(Database("postgresql://db/kitchen", table="recipes"), failure)
    assert isinstance(raised, error)
    assert " ".join(said.split()) in str(raised)
    assert "hunter2" not in str(raised)


def test_credentials_come_from_the_environment(
    postgres: PostgresServer, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the scheme may come from it."""
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    settings = {"HOST": "127.0.0.1", "PORT": str(postgres.port), "USER": postgres.reader, "DATABASE": postgres.database}
    for name, value in (settings | {"PASSWORD": postgres.reader_password}).items():
        monkeypatch.setenv(f"PG{name}", value)
    origin = open_origin(Database("postgresql://", table=table), id_column="id", fields=RECIPE_FIELDS)
    assert sorted((row[:5] for row in rows_in(read(origin), RECIPE_FIELDS)), key=repr) == RECIPE_ROWS
    origin.close()


# Peak private memory of a process that reads all ranges one after the other, over what it had before.
MEMORY = """
import json, sys, psutil
from kizami.database import Database
from kizami.sources import open_origin, read_texts
fields = ["title"]
origin = open_origin(Database(sys.argv[1], query=sys.argv[2]), id_column="id", fields=fields)
process = psutil.Process()
before = process.memory_full_info().uss
peak = read = 0
for number, part in enumerate(origin.parts):
    for block in read_texts(part, file_index=number, id_column="id", fields=fields, block_bytes=1 << 20):
        peak = max(peak, process.memory_full_info().uss)
        read += block.texts.nbytes
origin.close()
print(json.dumps([len(origin.parts), peak - before, read]))
"""


def test_a_range_passes_in_flat_memory(postgres: PostgresServer) -> None:
    """A query that cannot be cut is one range of 200 MB, far more than is ever held."""
    bound_bytes = 100 << 20
    query = "SELECT n AS id, repeat(md5(n::text), 300) AS title FROM generate_series(1, 20000) AS n"
    command = [sys.executable, "-c", MEMORY, postgres.url, query]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout
    ranges, growth_bytes, read_bytes = json.loads(said)
    assert ranges == 1
    assert growth_bytes < bound_bytes < read_bytes


def test_options_in_the_url_stay_as_they_are_written() -> None:
    """libpq decodes %20, and takes a + for a plus."""
    url = connection._url("postgresql://reader@host/kitchen?options=-c%20search_path%3Dkitchen")
    assert url.startswith("postgresql://reader@host/kitchen?options=-c%20search_path%3Dkitchen&")
    assert "connect_timeout=" in url
