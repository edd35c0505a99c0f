"""What the tests of sources share: tables of a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import lines
from support.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def large(postgres_server: PostgresServer, shared_corpora: None) -> PostgresServer:
    """The server with 200,500 documents in the table ``lines``."""
    lines.load(postgres_server, "lines")
    return postgres_server


@pytest.fixture(scope="session")
def parquet(tmp_path_factory: pytest.TempPathFactory, shared_corpora: None) -> str:
    """The same documents as Parquet."""
    return str(lines.write_parquet(tmp_path_factory.mktemp("lines") / "lines.parquet"))


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
