"""`kizami run` from PostgreSQL: whole runs on Ray, a server that is started again, and what is told of mistakes."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import kizami as reader
from kizami.config import load_config
from kizami.sources import list_files, read_texts
from kizami_jobs.daily import RunResult, run_corpus
from kizami_jobs.progress import Progress
from kizami_jobs.request import RunRequest
from support import lines
from support.job import kizami
from support.postgres_server import PostgresServer
from support.reading import table_of
from support.store_contents import ledger

COLUMNS = ["doc_id", "field", "position", "text"]


def configuration(folder: Path, source: str, what: str, *, id_column: str = '"id"', fields: str = '["title"]') -> Path:
    """A configuration with one corpus from a database."""
    path = folder / "kizami.toml"
    path.write_text(
        f'store = "./store"\n[corpora.recipes]\nsource = "{source}"\n{what}\nid = {id_column}\nfields = {fields}\n',
        "utf-8",
    )
    return path


def published(folder: Path) -> pa.Table:
    """What readers see, the tokens left out."""
    path = reader.snapshot_path(str(folder / "store"), "recipes")
    return ds.dataset(path, format="parquet").to_table(columns=COLUMNS)


def everything_in(folder: Path) -> bytes:
    """All bytes of all files."""
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.ray
@pytest.mark.shared
def test_a_server_started_again_in_mid_run_gives_the_corpus_of_one_moment(
    local_ray: int, shared_corpora: None, postgres: PostgresServer, tmp_path: Path
) -> None:
    """200,500 documents: rows change and the server crashes while ranges are read; all is read again, as it is then."""
    lines.load(postgres, "restarted")
    # Slow enough to be in the middle of it.
    query = (
        "SELECT number, title, steps, ingredients FROM restarted "
        "WHERE CASE WHEN number % 500 = 0 THEN pg_sleep(0.02) IS NOT NULL ELSE true END"
    )
    config = configuration(
        tmp_path, postgres.url, f'query = "{query}"', id_column='["number"]', fields=json.dumps(lines.FIELDS)
    )
    said = io.StringIO()
    results: list[RunResult] = []

    def run() -> None:
        results.append(run_corpus(load_config(config), RunRequest("recipes"), Progress(said)))

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and not postgres.sessions(["state = 'active'", "query LIKE 'COPY (SELECT \"number\"%'"]):
        time.sleep(0.02)
    postgres.execute("UPDATE restarted SET title = '変わった題' WHERE number % 3 = 0")
    postgres.stop("immediate")
    postgres.start()
    thread.join(300)
    assert "reading it again from the beginning" in said.getvalue()
    [result] = results
    assert (result.entry.state, result.entry.counts.documents) == ("published", lines.DOCUMENTS)

    [file] = list_files(str(lines.write_parquet(tmp_path / "lines.parquet")))
    blocks = read_texts(file, file_index=0, id_column="number", fields=lines.FIELDS)
    texts = [row for row in table_of(list(blocks)).select(COLUMNS).to_pylist() if row["text"] is not None]
    expected = {(row["doc_id"], lines.FIELDS[row["field"]], row["position"]): row["text"] for row in texts}
    changed = {str(document["number"]) for document in lines.documents() if document["number"] % 3 == 0}
    expected |= {(number, "title", 0): "変わった題" for number in changed}
    found = published(tmp_path)
    assert found.num_rows == len(expected)
    rows = zip(*(found[name].to_pylist() for name in COLUMNS), strict=True)
    assert {(doc_id, field, position): text for doc_id, field, position, text in rows} == expected

    again = run_corpus(load_config(config), RunRequest("recipes"), Progress(io.StringIO(), quiet=True))
    assert again.entry.state == "unchanged"
    assert postgres.sessions() == []
    kept = everything_in(tmp_path / "store")
    assert postgres.reader_password.encode() not in kept
    assert json.dumps(postgres.reader_password).encode() not in kept
    assert b"127.0.0.1" in kept  # the source is named
    postgres.execute("DROP TABLE restarted")


@pytest.mark.ray
def test_no_more_connections_are_open_than_are_allowed(
    local_ray: int, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three workers are there, and ten ranges that take their time; with two connections one keeps the view, one
    reads."""
    monkeypatch.setattr("kizami.sources.postgresql.cutting.RANGE_BYTES", 20_000)
    postgres.execute(
        "CREATE TABLE slow AS SELECT n AS id, '卵焼き' || n AS title FROM generate_series(1, 20000) AS n",
        "ALTER TABLE slow ADD PRIMARY KEY (id)",
        "ANALYZE slow",
    )
    query = "SELECT * FROM slow WHERE CASE WHEN id % 1500 = 0 THEN pg_sleep(0.3) IS NOT NULL ELSE true END"
    config = configuration(tmp_path, postgres.url, f'query = "{query}"\nconnections = 2')
    said = io.StringIO()
    results: list[RunResult] = []
    thread = threading.Thread(
        target=lambda: results.append(run_corpus(load_config(config), RunRequest("recipes"), Progress(said)))
    )
    thread.start()
    seen: list[set[int]] = []
    while thread.is_alive():
        seen.append(set(postgres.sessions()))
        time.sleep(0.02)
    thread.join()
    assert results[0].entry.counts.documents == 20_000
    ranges = int(said.getvalue().partition("ranges: ")[2].split()[0])
    assert ranges > 5
    # A session that was just ended stays for a moment.
    lasting = [len(set.intersection(*seen[begin : begin + 6])) for begin in range(len(seen) - 6)]
    assert max(lasting) == 2
    postgres.execute("DROP TABLE slow")


@pytest.fixture
def table(postgres: PostgresServer) -> str:
    """A small table, made anew."""
    postgres.execute(
        "DROP TABLE IF EXISTS dishes",
        "CREATE TABLE dishes (id int PRIMARY KEY, title text, memo text)",
        "INSERT INTO dishes VALUES (1, '卵焼き'), (10, '味噌汁'), (2, '親子丼')",
    )
    return "dishes"


@pytest.mark.ray
def test_a_database_that_changed_is_published_and_another_is_not(
    local_ray: int, postgres: PostgresServer, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line: what is read is told in ranges, a plan is made, an unchanged table is nothing to do."""
    config = configuration(tmp_path, postgres.url, f'table = "{table}"')
    code, answer, err = kizami(capsys, "run", "recipes", "--config", config)
    assert (code, answer["run"]["state"], "read 3 documents, 3 texts; ranges: 1" in err) == (0, "published", True)
    assert published(tmp_path).to_pylist() == [
        {"doc_id": doc_id, "field": "title", "position": 0, "text": text}
        for doc_id, text in (("1", "卵焼き"), ("10", "味噌汁"), ("2", "親子丼"))
    ]
    code, answer, _ = kizami(capsys, "run", "recipes", "--config", config)
    assert (code, answer["run"]["state"]) == (0, "unchanged")
    postgres.execute("UPDATE dishes SET title = 'だし巻き卵' WHERE id = 1")
    code, answer, _ = kizami(capsys, "plan", "recipes", "--config", config)
    assert (code, answer["texts"]["changed"], answer["texts"]["unchanged"]) == (0, 1, 2)


@pytest.mark.parametrize(
    ("what", "url", "environment", "exit_code", "message"),
    [
        ('table = "dishes"', "{url}", {"PGPASSWORD": "wrong-secret"}, 78, "password authentication failed"),
        ('table = "dish"', "{url}", {}, 78, 'relation "dish" does not exist'),
        ('query = "SELECT id, title FROM dish"', "{url}", {}, 78, 'relation "dish" does not exist'),
        ('table = "dishes"', "postgresql://127.0.0.1:1/x", {}, 69, "does not answer"),
        ('table = "dishes_{{date}}"', "{url}", {}, 69, "not there yet"),
        ('query = "SELECT id, title FROM dishes WHERE false"', "{url}", {}, 65, "no texts to publish"),
        ('query = "SELECT id, (1 / (id - 2))::text AS title FROM dishes"', "{url}", {}, 65, "SQLSTATE 22012"),
    ],
)
@pytest.mark.ray
def test_a_mistake_is_one_line_with_its_exit_code(
    local_ray: int,
    postgres: PostgresServer,
    table: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    url: str,
    environment: dict[str, str],
    exit_code: int,
    message: str,
) -> None:
    """It names the source and what to do; the ledger has it; nothing is published, and no password is told."""
    monkeypatch.setattr("kizami.sources.postgresql.view._FIRST_PATIENCE_SECONDS", 0)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = configuration(tmp_path, url.format(url=postgres.url), what.format())
    code, answer, err = kizami(capsys, "run", "recipes", "--config", config)
    assert (code, message in answer["message"]) == (exit_code, True), answer
    assert err.splitlines()[-1] == f"kizami: {answer['message']}"
    assert "Traceback" not in err
    entry = ledger(str(tmp_path / "store"))[0]
    assert (entry.state, entry.exit_code) == ("failed", exit_code)
    assert "secret" not in err
    assert b"secret" not in everything_in(tmp_path / "store")
    assert postgres.sessions() == []


@pytest.mark.ray
def test_a_dropped_column_exits_78(
    local_ray: int, postgres: PostgresServer, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The day after it was there, and the message names it and those that are."""
    config = configuration(tmp_path, postgres.url, f'table = "{table}"', fields='["title", "memo"]')
    assert kizami(capsys, "run", "recipes", "--config", config)[0] == 0
    postgres.execute("ALTER TABLE dishes DROP COLUMN memo")
    code, answer, _ = kizami(capsys, "run", "recipes", "--config", config)
    assert code == 78
    assert "has no column memo" in answer["message"]
    assert "its columns: id, title" in answer["message"]


def test_a_password_in_the_url_is_refused_without_being_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In whichever of its places."""
    for url in (
        "postgresql://kizami:hunter2@db/recipes",
        "postgresql://kizami%3Ahunter2@db/recipes",
        "postgresql://kizami@db/recipes?password=hunter2",
        "postgresql://kizami:hun/ter2@db/recipes",
        "postgres://db/recipes?sslmode=require&sslpassword=hunter2",
        "postgres://db/recipes#?password=hunter2",
        "postgres://db/recipes?application_name=a#&password=hunter2",
        "mysql://kizami:hunter2@db/recipes",
    ):
        what = "" if url.startswith("mysql") else 'table = "recipes"'
        code, answer, err = kizami(capsys, "run", "recipes", "--config", configuration(tmp_path, url, what))
        assert code == 78, url
        assert "hun" not in answer["message"] + err
