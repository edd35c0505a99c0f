"""What is measured on: excerpts of the corpora in ../shared, written where the contenders read them."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from kizami.analysis.shown import Normalisation, show
from support import corpora

BULK: Final = "bulk_aozora.jsonl.zst"
BULK_FIELDS: Final = ("title", "body")
MENUS: Final = "recipes_kobe_school_lunch.jsonl.gz"
MENU_FIELDS: Final = ("title", "body", "ingredients.name")


@dataclass(frozen=True, slots=True)
class Input:
    """One input in the forms its contenders take."""

    name: str
    fields: tuple[str, ...]
    documents: Path
    """Parquet."""
    shown: Path
    """The same texts in the form that Kizami shows to MeCab, for its command line."""
    longest_line_bytes: int
    """Of ``shown``: the command line cuts what its buffer does not hold."""
    document_count: int
    text_count: int
    text_bytes: int
    """UTF-8 bytes of the texts."""


def write_input(folder: Path, name: str, documents: Iterable[dict[str, Any]], fields: Sequence[str]) -> Input:
    """Write documents as an input called ``name``."""
    source, shown_path = folder / f"{name}.documents.parquet", folder / f"{name}.shown.txt"
    records: list[dict[str, Any]] = []
    text_count = text_bytes = longest = 0
    columns = ["doc_id", *dict.fromkeys(field.partition(".")[0] for field in fields)]
    with shown_path.open("wb") as shown_file:
        for document in documents:
            records.append({column: document.get(column) for column in columns})
            for text in texts_of(document, fields):
                text_count += 1
                text_bytes += len(text.encode())
                shown = show([text], Normalisation.UNIDIC).shown.encode() + b"\n"
                longest = max(longest, *map(len, shown.split(b"\n")))
                shown_file.write(shown)
    pq.write_table(pa.Table.from_pylist(records), source)
    return Input(name, tuple(fields), source, shown_path, longest, len(records), text_count, text_bytes)


def bulk_excerpt(folder: Path, text_bytes: int) -> Input:
    """The first documents of bulk_aozora, up to ``text_bytes`` of text."""
    return write_input(folder, "bulk", _first(corpora.documents(BULK), BULK_FIELDS, text_bytes), BULK_FIELDS)


def repeated_menus(folder: Path, text_bytes: int) -> Input:
    """recipes_kobe_school_lunch again and again, with new, increasing ids, up to ``text_bytes`` of text."""
    menus = itertools.cycle(list(corpora.documents(MENUS)))
    again = (menu | {"doc_id": f"menu-{number:08}"} for number, menu in enumerate(menus))
    return write_input(folder, "menus", _first(again, MENU_FIELDS, text_bytes), MENU_FIELDS)


def whole_bulk() -> tuple[Path, int]:
    """All of bulk_aozora, in place, and the UTF-8 bytes of its texts."""
    path = corpora.CORPORA / BULK
    found = (text for document in corpora.documents(BULK) for text in texts_of(document, BULK_FIELDS))
    return path, sum(len(text.encode()) for text in found)


def texts_of(document: dict[str, Any], fields: Sequence[str]) -> Iterator[str]:
    """The texts of a document, in the order of the fields."""
    for field in fields:
        column, _, key = field.partition(".")
        value = document.get(column)
        for element in value if isinstance(value, list) else [value]:
            text = element[key] if key and element else element
            if text is not None:
                yield text


def _first(documents: Iterable[dict[str, Any]], fields: Sequence[str], text_bytes: int) -> Iterator[dict[str, Any]]:
    """The first documents until their texts pass ``text_bytes``; one at least."""
    total = 0
    for document in documents:
        yield document
        total += sum(len(text.encode()) for text in texts_of(document, fields))
        if total >= text_bytes:
            return


def mecab_command(dictionary: Path, source: Input) -> list[str] | None:
    """MeCab's command line with all features printed, or None where it is not installed."""
    mecab = shutil.which("mecab")
    if mecab is None:
        return None
    everything = "%m\\t%H\\n"
    return [
        *(mecab, "-r", "/dev/null", "-d", str(dictionary), "-b", str(source.longest_line_bytes + 1024)),
        # Without -O '' the dictionary's own dicrc would choose a shorter output.
        *("-O", "", "-F", everything, "-U", everything, "-E", "EOS\\n"),
        str(source.shown),
    ]
