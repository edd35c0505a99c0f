"""Excision: parts and manifests without some documents, everything else in them as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kizami import layout, quarantine
from kizami.encoded import ROWS, STRING_COLUMNS
from kizami.manifest import Counts, Manifest, PartEntry
from kizami.partfile import PartReport, PartWriter, inspect_part
from kizami.texts import Reason
from kizami.traces import doc_ids_of

_READ_DICTIONARY: Final = [f"{name}.list.element" for name in STRING_COLUMNS]


@dataclass(frozen=True, slots=True)
class Excised:
    """A part as it is without the documents."""

    found: frozenset[str]
    """Those of them that had rows in it."""
    first: str | None
    """The first doc_id that is left."""
    path: Path | None = None
    """The new file; None where none of them was found."""
    report: PartReport | None = None
    text_bytes: int = 0
    """UTF-8 bytes of the texts that are gone."""


@dataclass(frozen=True, slots=True)
class CopiedPart:
    """A part of a copy, and what it comes from."""

    entry: PartEntry
    """As the copy's manifest has it."""
    source: str | Path
    """The original's key in the store, or the new file."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A snapshot as it is to be without the documents."""

    manifest: Manifest
    parts: tuple[CopiedPart, ...]
    found: frozenset[str]
    quarantined: pa.Table
    """What is left of its quarantine."""


def excise(source: Path, target: Path, ids: pa.StringArray, *, fingerprint: str, run: str) -> Excised:
    """Write a part file without the rows of some documents, a row group at a time; no file where it has none of them.

    Rows that stay are those that a part of them alone would have; ``run`` is the run that writes them.
    """
    found: set[str] = set()
    first: str | None = None
    for doc_ids in doc_ids_of(source):
        chosen = pc.is_in(doc_ids, ids)
        found.update(doc_ids.filter(chosen).to_pylist())
        kept = doc_ids.filter(pc.invert(chosen))
        first = kept[0].as_py() if first is None and len(kept) else first
    if not found:
        return Excised(frozenset(), first)
    text_bytes = 0
    with (
        pq.ParquetFile(source, read_dictionary=_READ_DICTIONARY) as file,
        PartWriter(target, fingerprint=fingerprint, run=run) as writer,
    ):
        for number in range(file.num_row_groups):
            read = file.read_row_group(number, use_threads=False)
            group = pa.Table.from_arrays([read[name] for name in ROWS.names], schema=ROWS)
            chosen = pc.is_in(group["doc_id"], ids)
            text_bytes += pc.sum(pc.binary_length(group["text"].filter(chosen))).as_py() or 0
            writer.write(group.filter(pc.invert(chosen)))
        writer.finish([])
    return Excised(frozenset(found), first, target, inspect_part(target), text_bytes)


def copy_without(
    original: Manifest,
    ids: Sequence[str],
    excised: Mapping[str, Excised],
    held_back: pa.Table,
    *,
    snapshot: str,
    created_at: str,
) -> Copy | None:
    """What a snapshot becomes without some documents; None where nothing of it names one of them.

    ``excised`` has each part whose bounds admit one of the ids, by name, and ``held_back`` the whole quarantine. A
    bound that is such an id gives way to the first doc_id that is left; a part of which nothing is left joins the one
    before it. The copy's quarantine file has yet to be named.
    """
    gone = held_back.filter(pc.is_in(held_back["doc_id"], pa.array(ids, pa.string())))
    folder = layout.snapshot_prefix(original.corpus, original.snapshot)
    found = frozenset(gone["doc_id"].to_pylist())
    text_bytes = 0
    parts: list[CopiedPart] = []
    for entry, upper in pairwise([*original.parts, None]):
        if entry is None or entry.name not in excised:
            parts += [CopiedPart(entry, folder + entry.name)] if entry else []
            continue
        cut = excised[entry.name]
        found |= cut.found
        text_bytes += cut.text_bytes
        less = _less(entry, cut, _within(gone, entry.lower, upper.lower if upper else None))
        if entry.lower not in ids:
            parts.append(CopiedPart(less, cut.path or folder + entry.name))
        elif cut.first is not None:
            parts.append(CopiedPart(replace(less, lower=cut.first, input_digest=None), cut.path or folder + entry.name))
        else:
            parts[-1] = replace(parts[-1], entry=_joined(parts[-1].entry, less))
    if not found and not set(ids) & set(original.bounds):
        return None
    parts = [
        replace(part, entry=replace(part.entry, name=layout.part_name(number))) for number, part in enumerate(parts)
    ]
    entries = tuple(part.entry for part in parts)
    manifest = replace(
        original,
        snapshot=snapshot,
        created_at=created_at,
        input_digest="",
        counts=_counts(original.counts, entries, len(found), text_bytes, gone),
        parts=entries,
        quarantine=None,
        provenance=replace(original.provenance, rewritten_from=original.snapshot),
    )
    rest = held_back.filter(pc.invert(pc.is_in(held_back["doc_id"], pa.array(ids, pa.string()))))
    return Copy(manifest, tuple(parts), found, rest)


def copy_beside(first: Copy, other: Manifest, derived: Mapping[Path, tuple[Path, PartReport]]) -> Copy:
    """The copy of a snapshot in another version of the schema, where ``other`` is the original's manifest in it.

    ``derived`` has what the new files of the first copy are in that version, and what was found in them.
    """
    folder = layout.snapshot_prefix(other.corpus, other.snapshot, other.major)
    originals = {entry.name: entry for entry in other.parts}
    parts = []
    for part in first.parts:
        if isinstance(part.source, Path):
            path, report = derived[part.source]
            digest = report.sha256
            entry = replace(part.entry, key=digest[: len(part.entry.key)], size_bytes=report.size_bytes, sha256=digest)
            parts.append(CopiedPart(entry, path))
        else:
            own = originals[part.source.rpartition("/")[2]]
            entry = replace(part.entry, key=own.key, size_bytes=own.size_bytes, sha256=own.sha256)
            parts.append(CopiedPart(entry, folder + own.name))
    manifest = replace(first.manifest, schema=other.schema, parts=tuple(part.entry for part in parts))
    return Copy(manifest, tuple(parts), first.found, first.quarantined)


def _within(rows: pa.Table, lower: str, upper: str | None) -> pa.Table:
    inside = pc.greater_equal(rows["doc_id"], lower)
    return rows.filter(inside if upper is None else pc.and_(inside, pc.less(rows["doc_id"], upper)))


def _less(entry: PartEntry, cut: Excised, gone: pa.Table) -> PartEntry:
    """The entry of a part without what was cut out of it and of its quarantine."""
    if not cut.found and not len(gone):
        return entry
    documents = len(cut.found | set(gone["doc_id"].to_pylist()))
    removed = entry.rows - cut.report.rows if cut.report else 0
    failed = pc.sum(pc.equal(gone["reason"], str(Reason.ANALYSIS_FAILED))).as_py() or 0
    less = replace(
        entry,
        input_digest=None,
        documents=max(0, entry.documents - documents),  # an older version counted none
        texts=max(0, entry.texts - removed - len(gone)),
        text_bytes=max(0, entry.text_bytes - cut.text_bytes),
        quarantined=max(0, entry.quarantined - len(gone)),
        failed=max(0, entry.failed - failed),
    )
    if cut.report is None:
        return less
    report = cut.report
    return replace(
        less,
        # Not the key of any texts: no run may take it for a part that it would make itself.
        key=report.sha256[: len(entry.key)],
        rows=report.rows,
        tokens=report.tokens,
        unknown_tokens=report.unknown_tokens,
        size_bytes=report.size_bytes,
        sha256=report.sha256,
    )


def _joined(entry: PartEntry, empty: PartEntry) -> PartEntry:
    """A part that takes over the range of the one after it, which has no rows any more."""
    return replace(
        entry,
        input_digest=None,
        documents=entry.documents + empty.documents,
        texts=entry.texts + empty.texts,
        text_bytes=entry.text_bytes + empty.text_bytes,
        quarantined=entry.quarantined + empty.quarantined,
        failed=entry.failed + empty.failed,
    )


def _counts(counts: Counts, parts: Sequence[PartEntry], documents: int, text_bytes: int, gone: pa.Table) -> Counts:
    rows = sum(part.rows for part in parts)
    by_reason = Counter(counts.quarantined_by_reason)
    by_reason.subtract(quarantine.count_reasons(gone))
    return replace(
        counts,
        documents=counts.documents - documents,
        text_bytes=counts.text_bytes - text_bytes,
        rows=rows,
        tokens=sum(part.tokens for part in parts),
        unknown_tokens=sum(part.unknown_tokens for part in parts),
        quarantined=counts.quarantined - len(gone),
        quarantined_by_reason={reason: count for reason, count in by_reason.items() if count > 0},
        forgotten=counts.forgotten + counts.rows - rows + len(gone),
    )
