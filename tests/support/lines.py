"""A large corpus of short documents, made of the lines of ../shared/corpora, as Parquet and as rows of a database."""

from __future__ import annotations

import json
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kizami.sources import Block, list_files, read_texts
from support import corpora
from support.postgres_server import PostgresServer

DOCUMENTS = 200_500
FIELDS = ("title", "steps", "ingredients.name")
SCHEMA = pa.schema(
    [
        ("site", pa.string()),
        ("number", pa.int64()),
        ("doc_id", pa.string()),
        ("title", pa.string()),
        ("steps", pa.list_(pa.string())),
        ("ingredients", pa.list_(pa.struct([("name", pa.string()), ("amount", pa.string())]))),
    ]
)


@cache
def documents() -> list[dict[str, Any]]:
    """So many documents, in no order: nulls, empty texts, empty lists and null elements among them."""
    lines = (line for text in corpora.texts("bulk_aozora.jsonl.zst") for line in text.split("\n") if len(line) < 200)
    made = []
    for number, line in enumerate(islice(lines, DOCUMENTS)):
        made.append(
            {
                "site": f"サイト{number % 7}" if number % 3 else f"site/{number % 5}%",
                "number": number * 7919 % 1_000_003,
                "doc_id": f"{'レシピ' if number % 2 else 'r'}-{number * 7919 % 1_000_003:07d}",
                "title": None if number % 97 == 0 else line,
                "steps": None if number % 5 else [line[:10], None, "", line[10:20]][: number % 4],
                "ingredients": None
                if number % 3
                else [{"name": line[:4], "amount": "1"}, None, {"name": None, "amount": "少々"}][: number // 3 % 4],
            }
        )
    return made


def write_parquet(path: Path) -> Path:
    """The corpus as one Parquet file."""
    pq.write_table(pa.Table.from_pylist(documents(), SCHEMA), path, row_group_size=50_000)
    return path


def load(server: PostgresServer, name: str) -> None:
    """The corpus as a table, by the name of which there is none: text[] and jsonb, its key the ``doc_id``."""
    rows = [
        each | {"ingredients": None if each["ingredients"] is None else json.dumps(each["ingredients"])}
        for each in documents()
    ]
    plain = [field.with_type(pa.string()) if field.name == "ingredients" else field for field in SCHEMA]
    server.ingest(f"{name}_raw", pa.Table.from_pylist(rows, pa.schema(plain)))
    server.execute(
        f"CREATE TABLE {name} AS SELECT site, number, doc_id, title, steps, ingredients::jsonb AS ingredients, "
        f"ingredients::json AS plain FROM {name}_raw ORDER BY number",
        f"DROP TABLE {name}_raw",
        f"ALTER TABLE {name} ADD PRIMARY KEY (doc_id)",
        f"CREATE UNIQUE INDEX ON {name} (number)",
        f"CREATE UNIQUE INDEX ON {name} (site, number)",
        f"ANALYZE {name}",
    )


def read_parquet(path: str, id_column: str | tuple[str, ...]) -> list[Block]:
    """All blocks of the Parquet file."""
    [file] = list_files(path)
    return list(read_texts(file, file_index=0, id_column=id_column, fields=FIELDS))
