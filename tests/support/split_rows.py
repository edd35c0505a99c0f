"""Rows of schema v1 from texts written with their splits: ``豚バラ|肉``. Not analysed, but like what analysis gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from kizami import json_form, layout
from kizami.manifest import Counts, Manifest, PartEntry, Provenance
from kizami.partfile import PartWriter, inspect_part
from kizami.pointer import Pointer
from kizami.stores import open_store
from kizami.texts import text_hash
from kizami_schemas import v1

Features = Mapping[str, Sequence[Any] | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """One text: its place, its tokens between bars, its sentences, and the features that matter."""

    tokens: str
    """White space at the edges of a token stands in the text, but belongs to no token: ``水| 200``."""
    doc_id: str = "recipe-1"
    field: str = "title"
    position: int = 0
    sentence_start: Sequence[int] = (0,)
    features: Features = dataclasses.field(default_factory=dict)
    """Values of some columns, one a token; the others are the surface, or false."""

    @property
    def text(self) -> str:
        return self.tokens.replace("|", "")

    @property
    def spans(self) -> list[tuple[int, str]]:
        """Offset in code points and surface of each token."""
        found, place = [], 0
        for piece in self.tokens.split("|"):
            if piece.strip():
                found.append((place + len(piece) - len(piece.lstrip()), piece.strip()))
            place += len(piece)
        return found

    def row(self) -> dict[str, Any]:
        """The row, all columns."""
        surfaces = [surface for _, surface in self.spans]
        made: dict[str, Any] = dict.fromkeys(v1.TOKEN_COLUMNS, surfaces)
        made |= {
            "doc_id": self.doc_id,
            "field": self.field,
            "position": self.position,
            "text": self.text,
            "text_hash": text_hash(self.text.encode()),
            "sentence_start": list(self.sentence_start) if surfaces else [],
            "start": [start for start, _ in self.spans],
            "is_unknown": [False] * len(surfaces),
        }
        return made | dict(self.features)


def split_rows(splits: Iterable[Split]) -> pa.Table:
    """A table of schema v1."""
    return pa.Table.from_pylist([split.row() for split in splits], schema=v1.SCHEMA)


def store_snapshot(
    store_url: str,
    parts: Sequence[pa.Table],
    folder: Path,
    *,
    snapshot: str,
    date: str = "2026-11-23",
    fingerprint: str = "a" * 32,
    run: str = "20261123T000000Z-run",
    published: bool = True,
) -> Manifest:
    """Put a snapshot of these rows into the store of a corpus ``recipes``; without a pointer it is a candidate.

    ``folder`` is for files on their way. The digest of a part hangs on its rows, ``fingerprint`` and ``run``.
    """
    store = open_store(store_url)
    prefix = layout.snapshot_prefix("recipes", snapshot)
    entries = []
    for number, rows in enumerate(parts):
        path = folder / f"{snapshot}-{number}.parquet"
        with PartWriter(path, fingerprint=fingerprint, run=run) as writer:
            if len(rows):
                writer.write(rows)
            writer.finish([])
        report = inspect_part(path)
        store.put(prefix + layout.part_name(number), path.read_bytes())
        lower = rows["doc_id"][0].as_py() if number and len(rows) else ""
        entries.append(
            PartEntry(
                layout.part_name(number),
                lower,
                f"{number:032x}",
                report.rows,
                report.tokens,
                report.unknown_tokens,
                report.size_bytes,
                report.sha256,
            )
        )
    manifest = _manifest(entries, snapshot, date, fingerprint)
    key = layout.manifest_key("recipes", snapshot)
    store.put(key, json_form.encode(manifest))
    if published:
        glob = layout.snapshot_glob("recipes", snapshot)
        rows_in_all = manifest.counts.rows
        pointer = Pointer(1, "recipes", snapshot, date, prefix, glob, key, rows_in_all, f"{date}T00:00:00Z", "", 1)
        for pointer_key in (layout.date_key("recipes", date), layout.latest_key("recipes")):
            store.put(pointer_key, json_form.encode(pointer))
    return manifest


def _manifest(parts: Sequence[PartEntry], snapshot: str, date: str, fingerprint: str) -> Manifest:
    rows, tokens, unknown = (
        sum(getattr(part, name) for part in parts) for name in ("rows", "tokens", "unknown_tokens")
    )
    return Manifest(
        schema=f"{v1.MAJOR}.{v1.MINOR}",
        corpus="recipes",
        snapshot=snapshot,
        date=date,
        created_at=f"{date}T00:00:00Z",
        fingerprint=fingerprint,
        input_digest="0" * 64,
        counts=Counts(0, rows, 0, rows, tokens, unknown, 0, {}),
        parts=tuple(parts),
        quarantine=None,
        provenance=Provenance("run", "", 0, 0, False, ("title", "steps"), "unidic", 4096, 1, {}),
    )
