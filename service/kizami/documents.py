"""One document as it was published."""

from __future__ import annotations

import datetime as dt
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from kizami.errors import DataError, UnavailableError
from kizami.readers import document_path


def read_document(store: str, corpus: str, doc_id: str, date: dt.date | str | None = None) -> pa.Table:
    """All rows of a document, schema v1, in their order. Raises DataError where the snapshot does not have it."""
    path = document_path(store, corpus, doc_id, date)
    try:
        filesystem, own_path = _opened(path)
        rows = pq.read_table(own_path, filesystem=filesystem, filters=pc.field("doc_id") == doc_id)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be read: {error}") from error
    if not len(rows):
        raise DataError(
            f"no document {doc_id!r} in corpus {corpus!r}: the newest snapshot does not have it; "
            "`kizami history` names the runs, whose quarantine may hold it"
        )
    return rows


def _opened(path: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path, and the path in it."""
    if not path.startswith("s3://"):
        return fs.LocalFileSystem(), path
    # From a URI, unlike S3FileSystem(), the endpoint of the environment is honoured.
    bucket = path.removeprefix("s3://").partition("/")[0]
    filesystem, _ = fs.FileSystem.from_uri(f"s3://{bucket}")
    return filesystem, path.removeprefix("s3://")


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
    """Pad to a width on a terminal, where East Asian characters take two columns."""
    width = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    return text + " " * max(1, columns - width)
