"""Verification: a published snapshot compared with its manifest, object by object."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from kizami import layout
from kizami.commit import decode_head
from kizami.errors import DataError
from kizami.manifest import Manifest, PartEntry, decode_manifest, pointer_to
from kizami.pointer import Pointer, decode_pointer
from kizami.stores import ObjectInfo, ObjectMissingError, ObjectStore
from kizami.workspace import workspace
from kizami_schemas.versions import find_version

_PARTS_AT_ONCE: Final = 4
"""Parts on their way at a time; each is on the disk while it is looked at, none in memory."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An object that is not what it should be."""

    key: str
    what: str
    """As the end of a sentence that begins with the key."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was compared, and what was found."""

    corpus: str
    snapshot: str | None
    """None where the pointer to it cannot be read."""
    date: str | None
    parts: int
    """In all versions of the schema."""
    rows: int
    """In each of them."""
    size_bytes: int
    """Of the parts, by the manifests."""
    faults: tuple[Fault, ...]
    """By key."""
    schemas: tuple[int, ...] = (1,)
    """The major versions of the schema that it is there in, or should be."""


def verify(
    store: ObjectStore,
    corpus: str,
    snapshot: str | None = None,
    *,
    on_part: Callable[[int, int], None] = lambda _done, _all: None,
) -> Verification:
    """Compare a snapshot, by default the one that ``latest.json`` names, with its manifest, and the pointers with both.

    Reads every byte of it, with a few parts on the disk at a time and none in memory; takes no lock. ``on_part`` is
    told how many parts of how many are done. Raises DataError where there is no such snapshot, UnavailableError.
    """
    faults: list[Fault] = []
    latest = _pointer(store, layout.latest_key(corpus), faults)
    name = snapshot or (latest.snapshot if latest else None)
    if name is None:
        if not faults:
            raise DataError(f"no snapshot of corpus {corpus!r} is published in {store.url}: there is nothing to verify")
        return Verification(corpus, None, None, 0, 0, 0, tuple(faults))
    first = _manifest(store, corpus, name, latest, faults)
    if first is None:
        return Verification(corpus, name, None, 0, 0, 0, tuple(faults))
    manifests = [first, *_manifests_beside(store, first, faults)]
    whole, done = sum(len(manifest.parts) for manifest in manifests), 0
    for manifest in manifests:
        own = latest
        if manifest is not first:
            own = _pointer(store, layout.latest_key(corpus, manifest.major), faults)
            faults += _faults_of_other(manifest, first)
        faults += _faults_of_pointers(store, own, manifest)
        faults += _faults_of_manifest(manifest)
        folder = list(store.list(layout.snapshot_prefix(corpus, name, manifest.major)))
        missing_or_other = faults_of_folder(manifest, folder)
        faults += missing_or_other
        skipped = {fault.key for fault in missing_or_other}
        faults += _faults_of_parts(store, manifest, skipped, partial(_advance, on_part, done, whole - len(skipped)))
        done += len(manifest.parts)
    return Verification(
        corpus=corpus,
        snapshot=name,
        date=first.date,
        parts=whole,
        rows=first.counts.rows,
        size_bytes=sum(part.size_bytes for manifest in manifests for part in manifest.parts),
        faults=tuple(sorted(faults, key=lambda fault: fault.key)),
        schemas=tuple(manifest.major for manifest in manifests),
    )


def _advance(on_part: Callable[[int, int], None], before: int, whole: int, done: int, _own: int) -> None:
    on_part(before + done, whole)


def _manifests_beside(store: ObjectStore, first: Manifest, faults: list[Fault]) -> Iterator[Manifest]:
    """The manifests of a snapshot in the other versions of the schema that it was published in, or lies there in."""
    head_key = layout.head_key(first.corpus)
    try:
        publication = decode_head(store.get(head_key).body, head_key).catalogue.find(first.snapshot)
    except (ObjectMissingError, DataError):
        publication = None  # of what the commits say nothing is known; a lock is not what is verified
    published = publication.others if publication else ()
    for schema in layout.MAJOR_VERSIONS:
        key = layout.manifest_key(first.corpus, first.snapshot, schema)
        if schema == first.major:
            continue
        try:
            yield decode_manifest(store.get(key).body, key)
        except ObjectMissingError:
            if schema in published:
                faults.append(Fault(key, "is missing"))
        except DataError as error:
            faults.append(Fault(key, f"cannot be read: {error}"))


def _faults_of_other(manifest: Manifest, first: Manifest) -> Iterator[Fault]:
    """How a manifest in another version differs from the first one in what has to be the same."""
    same = replace(manifest, schema=first.schema, parts=first.parts)
    rows = [(part.name, part.lower, part.rows) for part in manifest.parts]
    if same != first or rows != [(part.name, part.lower, part.rows) for part in first.parts]:
        key = layout.manifest_key(manifest.corpus, manifest.snapshot, manifest.major)
        yield Fault(key, f"does not agree with {layout.manifest_key(first.corpus, first.snapshot, first.major)}")


def faults_of_folder(manifest: Manifest, listing: Iterable[ObjectInfo]) -> list[Fault]:
    """How the listing of a snapshot's folder differs from its manifest."""
    prefix = layout.snapshot_prefix(manifest.corpus, manifest.snapshot, manifest.major)
    expected = {prefix + part.name: part.size_bytes for part in manifest.parts}
    found = {info.key: info.size_bytes for info in listing}
    faults = [Fault(key, "is missing") for key in expected.keys() - found.keys()]
    faults += [Fault(key, "is not in the manifest") for key in found.keys() - expected.keys()]
    faults += [
        Fault(key, f"has {found[key]:,} bytes, not {expected[key]:,}")
        for key in expected.keys() & found.keys()
        if found[key] != expected[key]
    ]
    return faults


def _pointer(store: ObjectStore, key: str, faults: list[Fault]) -> Pointer | None:
    try:
        return decode_pointer(store.get(key).body, key)
    except ObjectMissingError:
        return None
    except DataError as error:
        faults.append(Fault(key, f"cannot be read: {error}"))
        return None


def _manifest(
    store: ObjectStore, corpus: str, snapshot: str, latest: Pointer | None, faults: list[Fault]
) -> Manifest | None:
    key = layout.manifest_key(corpus, snapshot)
    try:
        return decode_manifest(store.get(key).body, key)
    except DataError as error:
        faults.append(Fault(key, f"cannot be read: {error}"))
    except ObjectMissingError:
        is_latest = latest is not None and latest.snapshot == snapshot
        if not is_latest and not list(store.list(layout.snapshot_prefix(corpus, snapshot))):
            prefix = layout.manifests_prefix(corpus)
            names = [info.key.removeprefix(prefix).removesuffix(".json") for info in store.list(prefix)]
            raise DataError(f"no snapshot {snapshot!r} of {corpus}; there are: {', '.join(names) or 'none'}") from None
        faults.append(Fault(key, "is missing"))
    return None


def _faults_of_pointers(store: ObjectStore, latest: Pointer | None, manifest: Manifest) -> Iterator[Fault]:
    """Of ``latest.json`` and the date's pointer, as far as they name the snapshot."""
    latest_key = layout.latest_key(manifest.corpus, manifest.major)
    date_key = layout.date_key(manifest.corpus, manifest.date, manifest.major)
    unreadable: list[Fault] = []
    by_date = _pointer(store, date_key, unreadable)
    yield from unreadable
    for key, pointer in ((latest_key, latest), (date_key, by_date)):
        if pointer and pointer.snapshot == manifest.snapshot:
            yield from _faults_of_pointer(key, pointer, manifest)
    named = latest is not None and latest.snapshot == manifest.snapshot
    differs = by_date is None or by_date.snapshot != manifest.snapshot
    # Unless somebody has published in the meantime: the date's pointer is written first.
    if named and differs and not unreadable and _pointer(store, latest_key, []) == latest:
        yield Fault(date_key, f"does not name {manifest.snapshot}, which {latest_key} names")


def _faults_of_pointer(key: str, pointer: Pointer, manifest: Manifest) -> Iterator[Fault]:
    expected = asdict(replace(pointer_to(manifest, pointer.published_at), commit=pointer.commit))
    for name, value in asdict(pointer).items():
        if value != expected[name]:
            yield Fault(key, f"has the {name} {value!r}, where the manifest says {expected[name]!r}")


def _faults_of_manifest(manifest: Manifest) -> Iterator[Fault]:
    key = layout.manifest_key(manifest.corpus, manifest.snapshot, manifest.major)
    rows = sum(part.rows for part in manifest.parts)
    if rows != manifest.counts.rows:
        yield Fault(key, f"counts {manifest.counts.rows:,} rows, and {rows:,} in its parts")
    if [part.name for part in manifest.parts] != [layout.part_name(number) for number in range(len(manifest.parts))]:
        yield Fault(key, "does not name its parts in order")
    bounds = manifest.bounds
    if bounds[0] or not all(lower < upper for lower, upper in pairwise(bounds)):
        yield Fault(key, "has bounds that do not ascend from the empty one")


def _faults_of_parts(
    store: ObjectStore, manifest: Manifest, skipped: set[str], on_part: Callable[[int, int], None]
) -> list[Fault]:
    """Of the parts' contents; of one whose size is wrong nothing more is told."""
    prefix = layout.snapshot_prefix(manifest.corpus, manifest.snapshot, manifest.major)
    parts = [part for part in manifest.parts if prefix + part.name not in skipped]
    faults: list[Fault] = []
    with workspace() as folder, ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:

        def look(part: PartEntry) -> list[Fault]:
            path = folder / part.name
            try:
                store.download(prefix + part.name, path)
                return [Fault(prefix + part.name, what) for what in _faults_of_file(path, part, manifest.schema)]
            except ObjectMissingError:
                return [Fault(prefix + part.name, "is missing")]
            finally:
                path.unlink(missing_ok=True)

        try:
            for done, found in enumerate(pool.map(look, parts), 1):
                faults += found
                on_part(done, len(parts))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return faults


def _faults_of_file(path: Path, part: PartEntry, schema: str) -> Iterator[str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != part.sha256:
        yield f"has other bytes than were published: SHA-256 {digest}, not {part.sha256}"
        return
    try:
        with pq.ParquetFile(path) as parquet:
            rows, columns = parquet.metadata.num_rows, parquet.schema_arrow
    except (pa.ArrowException, OSError) as error:
        yield f"is no Parquet file: {' '.join(str(error).split())}"
        return
    if rows != part.rows:
        yield f"has {rows:,} rows, not {part.rows:,}"
    version = find_version(int(schema.partition(".")[0]))
    if version is None:  # an older Kizami's, or one of a package that is not here: its bytes were compared
        return
    # A part of an earlier minor version lacks the columns that came later, at the end.
    expected = version.schema if schema == version.name else pa.schema(list(version.schema)[: len(columns)])
    if not columns.equals(expected):
        yield f"has another schema than version {schema}: see `kizami schema`"
