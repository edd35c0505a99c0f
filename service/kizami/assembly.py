"""Assembling a snapshot: finished parts copied into a folder of their own, and its listing compared with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pyarrow as pa

from kizami import layout
from kizami.errors import DataError
from kizami.gates import Figures
from kizami.manifest import Counts, PartEntry
from kizami.part_builder import BuiltPart
from kizami.quarantine import count_reasons
from kizami.stores import ObjectMissingError, ObjectStore

_COPIES_AT_ONCE: Final = 8


def assemble(
    store: ObjectStore,
    corpus: str,
    snapshot: str,
    parts: Sequence[BuiltPart],
    digests: Sequence[str],
    *,
    schema: int = 1,
    check: Callable[[], None] = lambda: None,
) -> tuple[PartEntry, ...]:
    """Copy parts into the snapshot's folder, from staging or from the predecessor's; return its entries, in the order
    of the parts' bounds. ``digests`` are the input digests of the parts, ``schema`` the major version of the folder.

    Nobody is pointed to the folder yet. ``check`` is called between parts and may raise to end it. Raises DataError
    unless its listing is exactly that of the entries, UnavailableError.
    """
    prefix = layout.snapshot_prefix(corpus, snapshot, schema)
    entries = tuple(_entry(number, *both) for number, both in enumerate(zip(parts, digests, strict=True)))

    def copy(part: BuiltPart, entry: PartEntry) -> None:
        source = part.copied_from or layout.staging_key(corpus, part.key)
        try:
            store.copy(source, prefix + entry.name)
        except ObjectMissingError:
            raise _unusable(part, source, "is missing") from None

    with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
        try:
            for _ in pool.map(copy, parts, entries):
                check()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    found = {info.key.removeprefix(prefix): info.size_bytes for info in store.list(prefix)}
    expected = {entry.name: entry.size_bytes for entry in entries}
    if found != expected:
        differing = min(set(found.items()) ^ set(expected.items()))[0]
        for part, entry in zip(parts, entries, strict=True):
            if part.copied_from and entry.name == differing in found:
                raise _unusable(part, part.copied_from, "is not what was published")
        raise DataError(f"{prefix} does not hold what it should, {differing} for one; start the run again")
    return entries


def _unusable(part: BuiltPart, source: str, what: str) -> DataError:
    # Whatever is run again without --full would copy the same part again.
    remedy = "`kizami run --full` analyses without it" if part.copied_from else "start the run again"
    return DataError(f"{source} {what}: {remedy}")


def count(parts: Sequence[BuiltPart], forgotten: int = 0) -> Counts:
    """The counts of a snapshot made of these parts, of a source that has ``forgotten`` texts to be left out."""
    quarantined = pa.concat_tables([part.quarantined for part in parts])
    return Counts(
        documents=sum(part.documents for part in parts),
        texts=sum(part.texts for part in parts) + forgotten,
        text_bytes=sum(part.text_bytes for part in parts),
        rows=sum(part.report.rows for part in parts),
        tokens=sum(part.report.tokens for part in parts),
        unknown_tokens=sum(part.report.unknown_tokens for part in parts),
        quarantined=len(quarantined),
        quarantined_by_reason=count_reasons(quarantined),
        forgotten=forgotten,
    )


def figures(parts: Sequence[BuiltPart], source_texts: int, forgotten: int = 0) -> Figures:
    """What the gates judge of a snapshot made of these parts, of a source that was found to have so many texts."""
    counts = count(parts, forgotten)
    return Figures(
        source_texts=source_texts,
        part_texts=counts.texts,
        rows=counts.rows,
        tokens=counts.tokens,
        unknown_tokens=counts.unknown_tokens,
        quarantined=counts.quarantined,
        misplaced_rows=sum(part.report.misplaced_rows for part in parts),
        broken_rows=sum(part.report.broken_rows for part in parts),
        forgotten=forgotten,
    )


def _entry(number: int, part: BuiltPart, input_digest: str) -> PartEntry:
    report = part.report
    return PartEntry(
        name=layout.part_name(number),
        lower=part.lower,
        key=part.key,
        rows=report.rows,
        tokens=report.tokens,
        unknown_tokens=report.unknown_tokens,
        size_bytes=report.size_bytes,
        sha256=report.sha256,
        input_digest=input_digest,
        documents=part.documents,
        texts=part.texts,
        text_bytes=part.text_bytes,
        quarantined=len(part.quarantined),
        failed=part.failed,
    )
