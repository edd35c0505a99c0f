"""Access to a PostgreSQL source: who is let in, how, to do what, and what is said to those who are not."""

from __future__ import annotations

import errno

import pyarrow as pa
import pytest

from kizami.database import Database
from kizami.errors import ConfigurationError, UnavailableError
from kizami.sources import NotThereYetError, open_origin
from kizami.sources.postgresql import connection, reading
from kizami.sources.postgresql.view import DatabaseView
from support.postgres_server import PostgresServer
from support.reading import rows_in
from support.recipe_table import RECIPE_FIELDS, RECIPE_ROWS, read, rows


def test_a_timeout_is_as_long_as_the_database_takes(postgres: PostgresServer, table: str) -> None:
    """Beyond 24 days it has none that is longer."""
    assert len(rows(postgres, table=table, statement_timeout_seconds=1000 * 3600)) == len(RECIPE_ROWS)


def test_a_slow_statement_is_ended(postgres: PostgresServer) -> None:
    """The database ends it, and the message names the key."""
    database = Database(
        postgres.url, query="SELECT 'a' AS id, pg_sleep(60)::text AS title", statement_timeout_seconds=0.5
    )
    origin = open_origin(database, id_column="id", fields=["title"])
    with pytest.raises(UnavailableError, match=r"statement_timeout is 0\.5 s"):
        read(origin, fields=["title"])
    origin.close()


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


def test_options_in_the_url_stay_as_they_are_written() -> None:
    """libpq decodes %20, and takes a + for a plus."""
    url = connection._url("postgresql://reader@host/kitchen?options=-c%20search_path%3Dkitchen")
    assert url.startswith("postgresql://reader@host/kitchen?options=-c%20search_path%3Dkitchen&")
    assert "connect_timeout=" in url
