"""PostgreSQL as a source: the rows that Parquet gives, whatever their types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import pyarrow as pa
import pytest

from kizami.database import Database
from kizami.sources import Block, open_origin
from kizami.sources.postgresql import connection, cutting
from kizami.sources.postgresql.sql import IdRange
from kizami.sources.postgresql.view import DatabaseView
from support import lines
from support.postgres_server import PostgresServer
from support.reading import digest_of, table_of
from support.recipe_table import RECIPE_ROWS, Id, read, rows


def content(blocks: Sequence[Block]) -> pa.Table:
    """All that is to be the same, whatever the files or ranges."""
    names = ["doc_id", "field", "position"]
    return table_of(blocks).drop_columns(["file", "line"]).sort_by([(name, "ascending") for name in names])


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
    expected = lines.read_parquet(parquet, id_column)
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
    assert digest_of(blocks) == digest_of(lines.read_parquet(parquet, "number"))


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


def test_ids_are_sampled_in_bounded_memory_however_wrong_the_planner_is(postgres: PostgresServer) -> None:
    """A query of which the planner expects 6,000 rows has 200,000: not all of their ids come here, and what comes is
    in the order of the numbers, not of their digits."""
    database = Database(postgres.url, query="SELECT n AS id FROM generate_series(1, 200000) AS n")
    session = connection.Session(database)
    sample = [int(number) for (number,) in cutting._sample(session, database, ["id"], 6000.0, None)]
    session.close()
    assert 1000 < len(sample) <= 60_000
    assert sample == sorted(sample)


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
