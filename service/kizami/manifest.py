"""The manifest of a snapshot: its parts with their bounds and digests, its counts, and where all of it came from."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from kizami import json_form, layout
from kizami.errors import DataError
from kizami.gates import Gate
from kizami.parts import Bounds
from kizami.pointer import Pointer


@dataclass(frozen=True, slots=True)
class PartEntry:
    """One part of a snapshot."""

    name: str
    lower: str
    """The part holds the doc_ids from here up to, not including, the next part's ``lower``. The first one's is ""."""
    key: str
    """Name under which it was staged."""
    rows: int
    tokens: int
    unknown_tokens: int
    size_bytes: int
    sha256: str
    input_digest: str | None = None
    """What the source's records in this part add up to (``kizami.input_digests``), 64 hex digits. None in a manifest of
    a version that did not tell it, so with the zeros below; and where a take-down has taken documents out."""
    documents: int = 0
    texts: int = 0
    """Texts of the source: rows + quarantined."""
    text_bytes: int = 0
    """UTF-8 bytes of all sound texts."""
    quarantined: int = 0
    failed: int = 0
    """Of those quarantined, the texts that the analyser could not analyse."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run read and made."""

    documents: int
    """Documents with an id, those held back included."""
    texts: int
    """Texts in the source: rows + quarantined + forgotten. Null fields are no texts; a record without any text
    that had to be held back counts as one."""
    text_bytes: int
    """UTF-8 bytes of all sound texts."""
    rows: int
    tokens: int
    unknown_tokens: int
    quarantined: int
    quarantined_by_reason: Mapping[str, int]
    forgotten: int = 0
    """Texts left out, or taken out since, because their document is to be forgotten."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a snapshot, and from what."""

    run: str
    source: str
    source_files: int
    source_bytes: int
    """Bytes of the source's files as they are stored."""
    as_of_now: bool
    """Whether the business date was set by hand for a source that is only ever "now"."""
    fields: tuple[str, ...]
    normalisation: str
    part_bytes: int
    analysis_version: int
    versions: Mapping[str, str]
    """Of kizami, Python, pyarrow, fugashi, Ray and the dictionary, with the user dictionary's file name and digest."""
    rewritten_from: str | None = None
    """The snapshot of which this one is a copy without some documents, that a take-down removed."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """``manifests/{snapshot}.json``: written after all parts, never changed."""

    schema: str
    """Version of the parts' schema, ``major.minor``."""
    corpus: str
    snapshot: str
    date: str
    created_at: str
    fingerprint: str
    input_digest: str
    """What its source added up to, with fingerprint and configuration. Empty in a copy that a take-down made: it stands
    for no source."""
    counts: Counts
    parts: tuple[PartEntry, ...]
    quarantine: str | None
    """Key of the quarantine file in the store, where anything was held back."""
    provenance: Provenance
    gates: tuple[Gate, ...] = ()
    """The verdicts on this snapshot; empty in a manifest of a version that had no gates."""
    predecessor: str | None = None
    """The snapshot that ``latest`` named when this one was begun."""
    after_commit: int = 0
    """Number of commits made by then."""
    suppressed: int = 0
    """Length of the suppression list that was honoured when this one was made."""

    @property
    def major(self) -> int:
        """The number before the point of ``schema``."""
        return int(self.schema.partition(".")[0])

    @property
    def bounds(self) -> Bounds:
        """Lower bounds of the parts."""
        return tuple(part.lower for part in self.parts)

    def part_of(self, doc_id: str) -> PartEntry:
        """The one part that holds ``doc_id``, if any does."""
        return self.parts[bisect_right(self.parts, doc_id, key=lambda part: part.lower) - 1]


def pointer_to(manifest: Manifest, published_at: str) -> Pointer:
    """The pointer that publishes a snapshot; its commit has no number yet."""
    schema = manifest.major
    return Pointer(
        schema=schema,
        corpus=manifest.corpus,
        snapshot=manifest.snapshot,
        date=manifest.date,
        path=layout.snapshot_prefix(manifest.corpus, manifest.snapshot, schema),
        glob=layout.snapshot_glob(manifest.corpus, manifest.snapshot, schema),
        manifest=layout.manifest_key(manifest.corpus, manifest.snapshot, schema),
        rows=manifest.counts.rows,
        published_at=published_at,
        fingerprint=manifest.fingerprint,
        commit=0,
    )


def decode_manifest(body: bytes, key: str) -> Manifest:
    """A manifest from its JSON. Raises DataError naming the key of the object and the field at fault."""
    manifest = json_form.decode(Manifest, body, key)
    what = None
    if not manifest.parts:
        what = "lists no parts"
    elif not re.fullmatch(r"[0-9]+\.[0-9]+", manifest.schema):
        what = f"is of schema {manifest.schema!r}, which is no version"
    if what:
        raise DataError(f"{key} {what}: restore the object from a backup or an earlier version")
    return manifest
