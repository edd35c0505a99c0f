"""One document as it was published."""

from __future__ import annotations

import datetime as dt
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

from kizami.errors import DataError
from kizami.part_reader import read_rows
from kizami.readers import document_path


def read_document(store: str, corpus: str, doc_id: str, date: dt.date | str | None = None) -> pa.Table:
    """All rows of a document, schema v1, in their order. Raises DataError where the snapshot does not have it."""
    path = document_path(store, corpus, doc_id, date)
    if not _is_unicode(doc_id):
        raise _missing(corpus, doc_id)
    rows = read_rows(path, pc.field("doc_id") == doc_id)
    if not len(rows):
        raise _missing(corpus, doc_id)
    return rows


def _missing(corpus: str, doc_id: str) -> DataError:
    return DataError(
        f"no document {doc_id!r} in corpus {corpus!r}: the snapshot does not have it; "
        "`kizami history` names the runs, whose quarantine may hold it"
    )


def _is_unicode(doc_id: str) -> bool:
    """Whether it can be an id: bytes of a command line that are not UTF-8 arrive as lone surrogates."""
    try:
        doc_id.encode()
    except UnicodeEncodeError:
        return False
    return True


def render_document(rows: pa.Table) -> str:
    """A document's tokens for a person: one line a token, one block a text."""
    blocks = []
    for row in rows.to_pylist():
        lines = [f"{row['field']}[{row['position']}]  {row['text']!r}"]
        sentence_starts = set(row["sentence_start"])
        own = [row[name] for name in ("start", "surface", "lemma", "l_form", "is_unknown")]
        for index, (start, surface, lemma, l_form, unknown, pos) in enumerate(
            zip(*own, _parts_of_speech(row), strict=True)
        ):
            if index in sentence_starts and index:
                lines.append("  --")
            mark = "  (unknown)" if unknown else ""
            lines.append(f"  {start:>5}  {_pad(surface, 12)}{_pad(lemma, 16)}{_pad(l_form or '', 16)}{pos}{mark}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _parts_of_speech(row: dict[str, list[str | None]]) -> list[str]:
    levels = zip(row["pos1"], row["pos2"], row["pos3"], row["pos4"], strict=True)
    return ["-".join(level for level in token if level) for token in levels]


def _pad(text: str, columns: int) -> str:
    """Pad to a width on a terminal, where East Asian characters take two columns and combining ones none."""
    return text + " " * max(1, columns - sum(map(_width, text)))


def _width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
