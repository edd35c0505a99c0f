"""A small corpus of recipes with everything a sound source may hold, in every format."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

RECIPES: list[dict[str, Any]] = [
    {
        "id": "r-001",
        "title": "ふわふわ卵焼き",
        "ingredients": [{"name": "卵", "amount": "3個"}, {"name": "白だし", "amount": "小さじ1"}],
        "steps": ["卵を溶きほぐす。", "焼く。"],
    },
    {"id": "r-002", "title": "", "ingredients": [], "steps": [" 　", None, "レンジで３分\nチンする"]},
    {"id": "r-003", "title": None, "ingredients": None, "steps": None},
    {
        "id": "r-004",
        "title": "👩‍👩‍👧‍👦のﾊﾟｰﾃｨｰ🍣",
        "ingredients": [None, {"name": None, "amount": "少々"}, {"name": "バター\u0000\u0007", "amount": None}],
        "steps": ["か\u3099き氷\u2028を“盛る”,\r\n召し上がれ"],
    },
]

FLAT: list[dict[str, str | None]] = [
    {
        "id": recipe["id"],
        "title": recipe["title"] or None,
        "memo": "\n".join(step or "" for step in recipe["steps"] or ()) or None,
    }
    for recipe in RECIPES
]
"""The same without lists and without empty texts, for CSV."""

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("title", pa.string()),
        ("ingredients", pa.list_(pa.struct([("name", pa.string()), ("amount", pa.string())]))),
        ("steps", pa.list_(pa.string())),
    ]
)


def write(path: Path, records: list[dict[str, Any]], schema: pa.Schema | None = None) -> Path:
    """Write records in the format that the name of the file asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(records, schema), path)
        return path
    if ".csv" in path.name:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
        body = text.getvalue().encode()
    else:
        body = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    path.write_bytes(compressed(path.name, body))
    return path


def compressed(name: str, body: bytes) -> bytes:
    """Compress a body as the name of its file asks for."""
    if name.endswith(".gz"):
        return gzip.compress(body)
    if name.endswith(".zst"):
        return zstandard.ZstdCompressor().compress(body)
    return body
