"""Comparing two snapshots of a store: which parts to read, and what is said about both beside their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from kizami import layout
from kizami.change_tally import FIXED_COLUMNS, Tally
from kizami.manifest import Manifest, PartEntry
from kizami.part_reader import read_row_groups, read_schema
from kizami.readers import find_manifest
from kizami.row_windows import windows
from kizami.snapshot_changes import Changes
from kizami.stores import ObjectStore, open_store
from kizami_schemas import v1


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """One of the two snapshots, as its manifest has it."""

    snapshot: str
    date: str
    schema: str
    fingerprint: str
    rows: int
    tokens: int
    unknown_tokens: int
    parts: int
    columns_only_here: tuple[str, ...]
    """Columns that the other snapshot lacks, being of another minor version; they are not compared."""


@dataclass(frozen=True, slots=True)
class SnapshotDiff:
    """What changed from snapshot A to snapshot B."""

    corpus: str
    a: SnapshotSummary
    b: SnapshotSummary
    same_analysis: bool
    """Whether the fingerprints are equal: equal texts then have equal tokens."""
    equal_parts: int
    """Parts that are the same to the byte; their rows were not compared."""
    changes: Changes


def diff_snapshots(
    store_url: str,
    corpus: str,
    a: str,
    b: str,
    *,
    limit: int = 10,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> SnapshotDiff:
    """Compare two snapshots, each given as ``latest``, a business date, or an id, that of an unpublished one included.

    ``limit`` is how many ids and examples to keep of each kind. ``progress`` is told how many of both snapshots' rows
    are done, and how many there are. Memory is bounded by a few row groups, or by the largest document.

    Raises DataError where a snapshot is unknown, damaged or gone, UnavailableError when the store does not answer.
    """
    store = open_store(store_url)
    old, new = (find_manifest(store, corpus, name) for name in (a, b))
    equal = _equal_parts(old.parts, new.parts)
    # All parts of a snapshot are of one minor version.
    schemas = [read_schema(_path(store, corpus, manifest, manifest.parts[0])) for manifest in (old, new)]
    common = [name for name in schemas[0].names if name in schemas[1].names]
    features = [name for name in v1.TOKEN_COLUMNS if name in common and name not in FIXED_COLUMNS]
    tally = Tally(features, limit=limit)
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, old.counts.rows + new.counts.rows)

    for part in old.parts:
        if part.sha256 in equal:
            for rows in read_row_groups(_path(store, corpus, old, part), ["field", "is_unknown"]):
                tally.add_unchanged(rows)
                advance(2 * len(rows))
    columns = [*FIXED_COLUMNS, *features]
    sides = (
        chain([schema.empty_table().select(columns)], _differing_rows(store, corpus, manifest, equal, columns))
        for schema, manifest in zip(schemas, (old, new), strict=True)
    )
    for before, after in windows(*sides):
        tally.add(before, after)
        advance(len(before) + len(after))
    return SnapshotDiff(
        corpus=corpus,
        a=_summary(old, schemas[0].names, common),
        b=_summary(new, schemas[1].names, common),
        same_analysis=old.fingerprint == new.fingerprint,
        equal_parts=sum(part.sha256 in equal for part in old.parts),
        changes=tally.result(new.provenance.fields),
    )


def _equal_parts(old: Iterable[PartEntry], new: Iterable[PartEntry]) -> set[str]:
    """Digests of parts that both have. Equal bytes are equal documents, wherever the bounds around them went.

    Parts without rows may have one digest and be many, so they are left to the comparison, which costs nothing.
    """
    counts = [Counter(part.sha256 for part in parts if part.rows) for parts in (old, new)]
    return {digest for digest in counts[0] if counts[0][digest] == counts[1][digest]}


def _differing_rows(
    store: ObjectStore, corpus: str, manifest: Manifest, equal: set[str], columns: Sequence[str]
) -> Iterator[pa.Table]:
    for part in manifest.parts:
        if part.sha256 not in equal:
            yield from read_row_groups(_path(store, corpus, manifest, part), columns)


def _path(store: ObjectStore, corpus: str, manifest: Manifest, part: PartEntry) -> str:
    return f"{store.url.rstrip('/')}/{layout.snapshot_prefix(corpus, manifest.snapshot)}{part.name}"


def _summary(manifest: Manifest, own: Iterable[str], common: Sequence[str]) -> SnapshotSummary:
    return SnapshotSummary(
        snapshot=manifest.snapshot,
        date=manifest.date,
        schema=manifest.schema,
        fingerprint=manifest.fingerprint,
        rows=manifest.counts.rows,
        tokens=manifest.counts.tokens,
        unknown_tokens=manifest.counts.unknown_tokens,
        parts=len(manifest.parts),
        columns_only_here=tuple(name for name in own if name not in common),
    )
