"""The corpora in ../shared: where they are, and their texts, read with the standard library alone."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora"
RECIPES = ("recipes_edo.jsonl.gz", "recipes_personal_cc0.jsonl.gz", "recipes_kobe_school_lunch.jsonl.gz")
FIELDS = ("title", "body", "ingredients.name", "steps")


def documents(name: str) -> Iterator[dict[str, Any]]:
    """The documents of a corpus file, in order."""
    path = CORPORA / name
    with zstandard.open(path, "rb") if path.suffix == ".zst" else gzip.open(path) as content:
        for line in io.TextIOWrapper(content, "utf-8"):
            yield json.loads(line)


def document_texts(document: dict[str, Any]) -> Iterator[str]:
    """The texts of a document, by the fields of ``FIELDS``; of a gold sentence, itself."""
    if "sent_id" in document:
        yield document["text"]
        return
    for field in FIELDS:
        column, _, key = field.partition(".")
        value = document.get(column)
        elements = value if isinstance(value, list) else [value]
        found = (element[key] if key and element else element for element in elements)
        yield from (text for text in found if text is not None)


def texts(name: str) -> Iterator[str]:
    """All texts of a corpus file."""
    for document in documents(name):
        yield from document_texts(document)
