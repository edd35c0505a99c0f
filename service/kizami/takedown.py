"""A take-down: documents vanish from everything that is kept of a corpus, and no run takes them in again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kizami import json_form, layout, quarantine
from kizami.errors import DataError
from kizami.excision import Copy, Excised, copy_beside, copy_without, excise
from kizami.manifest import Manifest, PartEntry, decode_manifest, pointer_to
from kizami.partfile import PartReport, derive_part, file_sha256
from kizami.pointer import Pointer
from kizami.predecessor import report_of
from kizami.record import new_id, now, timestamp
from kizami.stores import ConditionFailedError, ObjectMissingError, ObjectStore, Versioning
from kizami.suppression import suppress
from kizami.traces import ids_in_json, redacted, traces
from kizami.undertaking import Undertaking
from kizami.verification import faults_of_folder
from kizami_schemas.versions import V1, SchemaVersion, find_version

_COPIES_AT_ONCE: Final = 8
_BATCH: Final = 1000
_NAMED: Final = 5
"""Objects that an error names."""


@dataclass(frozen=True, slots=True)
class TakeDown:
    """What a take-down did. It counts documents and names none."""

    documents: int
    """Asked for."""
    listed: int
    """Of those, new on the suppression list."""
    found: int
    """Of those, found in a snapshot or in quarantine."""
    copies: dict[str, str]
    """Snapshots that were published anew: the name of the original, now deleted, and that of its copy."""
    deleted: tuple[str, ...]
    """Other snapshots that were deleted: candidates that had one of the documents, and what dead runs left."""
    objects: int
    """Objects deleted."""
    searched: int
    """Objects that were searched at the end, without finding one of the documents in any."""
    versioning: Versioning
    pointer: Pointer | None
    """What ``latest`` names now."""


def checked_ids(ids: Collection[str]) -> tuple[str, ...]:
    """The ids to forget, ascending, each once. Raises DataError for one that no document can have."""
    for doc_id in ids:
        try:
            doc_id.encode()
        except UnicodeEncodeError:
            raise DataError("one of the ids is not valid UTF-8: no document has it") from None
        if not doc_id:
            raise DataError("one of the ids is empty: no document has it")
    return tuple(sorted(set(ids)))


def take_down(
    held: Undertaking,
    corpus: str,
    ids: tuple[str, ...],
    *,
    may_go_on: Callable[[], None] = lambda: None,
    on_object: Callable[[int, int], None] = lambda _done, _all: None,
) -> TakeDown:
    """Forget documents, whose ids are as ``checked_ids`` gives them.

    They go on the suppression list; every snapshot that has one of them is published anew without it, and the original
    deleted at once, readers of its folder notwithstanding; unpublished ones are deleted whole, and so is everything in
    ``staging/`` and ``submissions/``. At the end every object is searched for them. Whatever dies on the way: doing it
    again finishes it, and pointers name whole snapshots throughout. ``may_go_on`` may raise to end it before anything
    is published.

    Raises DataError naming the objects in which a document was found all the same, or that cannot be rewritten;
    LockLostError, UnavailableError, CommitStateUnknownError.
    """
    work = _Work(held, corpus, ids, may_go_on)
    with held.record.stage("list"):
        listed = suppress(held.store, corpus, ids)
    with tempfile.TemporaryDirectory(prefix="kizami-forget-") as folder, held.record.stage("rewrite"):
        copies, unwanted = work.rewrite(Path(folder))
    pointer = held.lease.predecessor
    with held.record.stage("publish"):
        if copies:
            pointer = held.lease.take_down(copies)
        if unwanted:
            held.lease.record(lambda catalogue: catalogue.with_doomed(unwanted))
    with held.record.stage("delete"):
        objects = work.delete()
        work.clear_quarantine()
        work.clear_ledger()
    with held.record.stage("search"):
        searched, faults = traces(held.store, corpus, ids, on_object=on_object)
    if faults:
        named = "; ".join(f"{fault.key} {fault.what}" for fault in faults[:_NAMED])
        more = f" and {len(faults) - _NAMED:,} more" if len(faults) > _NAMED else ""
        raise DataError(
            f"the documents are on the suppression list of {corpus}, but not all traces of them are gone: "
            f"{named}{more}; see to these objects, then run it again"
        )
    return TakeDown(
        documents=len(ids),
        listed=listed,
        found=len(work.found),
        copies={original: copy.snapshot for original, copy in copies.items()},
        deleted=tuple(unwanted),
        objects=objects,
        searched=searched,
        versioning=held.store.versioning(),
        pointer=pointer,
    )


@dataclass
class _Work:
    """One take-down while it holds the lock."""

    held: Undertaking
    corpus: str
    ids: tuple[str, ...]
    may_go_on: Callable[[], None]
    found: set[str] = field(default_factory=set)
    _excised: dict[str, Excised] = field(default_factory=dict)
    """By the SHA-256 of the part; snapshots have many in common."""
    _derived: dict[tuple[Path, str], tuple[Path, PartReport]] = field(default_factory=dict)
    """By the file of version 1 and the name of the other version."""
    _placed: dict[Path, str] = field(default_factory=dict)
    """Where in the store a new file is already."""

    def rewrite(self, folder: Path) -> tuple[dict[str, Pointer], list[str]]:
        """Put a copy of every publication that has one of the documents beside it, unpublished. Returns the
        pointers to them by their originals, and the names of unpublished snapshots that are to go. Raises DataError for
        one that readers are shown and that is damaged."""
        catalogue = self.held.lease.catalogue
        shown = {each.snapshot for each in catalogue.shown().values()}
        there = set(self._everything())
        copies: dict[str, Pointer] = {}
        unwanted: list[str] = []
        for publication in catalogue.publications:
            name = publication.snapshot
            if layout.manifest_key(self.corpus, name) not in there and name not in shown:
                unwanted += [name]  # in the middle of being deleted
                continue
            try:
                copy = self._copy(name, folder)
                beside = (
                    [self._copy_beside(copy, name, schema, folder) for schema in publication.others] if copy else []
                )
            except DataError:
                if name in shown:
                    raise
                unwanted += [name]  # damaged: nobody can be shown it again
                continue
            if copy is not None:
                self._write(copy, beside)
                copies[name] = pointer_to(copy.manifest, publication.pointer.published_at)
        for name in sorted(_snapshots(there, self.corpus)):
            if not catalogue.knows(name) and self._is_unwanted(name, folder, there):
                unwanted += [name]
        return copies, unwanted

    def _is_unwanted(self, snapshot: str, folder: Path, there: Collection[str]) -> bool:
        """Whether a snapshot that was never published has one of the documents, or nobody can publish it: its run died
        before its manifest, it is damaged, or a take-down that died left it."""
        if layout.manifest_key(self.corpus, snapshot) not in there:
            return True
        try:
            return self._manifest(snapshot).provenance.rewritten_from is not None or (
                self._copy(snapshot, folder) is not None
            )
        except DataError:
            return True

    def _manifest(self, snapshot: str, schema: int = 1) -> Manifest:
        key = layout.manifest_key(self.corpus, snapshot, schema)
        try:
            return decode_manifest(self.held.store.get(key).body, key)
        except ObjectMissingError:
            raise DataError(f"{key} is missing though its snapshot is published: restore it") from None

    def _copy(self, snapshot: str, folder: Path) -> Copy | None:
        """A snapshot as it is to be; None if it has none of the documents."""
        self.may_go_on()
        self.held.lease.check()
        manifest = self._manifest(snapshot)
        uppers = [*manifest.bounds[1:], None]
        excised = {
            entry.name: self._cut(manifest, entry, folder)
            for entry, upper in zip(manifest.parts, uppers, strict=True)
            if any(entry.lower <= each and (upper is None or each < upper) for each in self.ids)
        }
        held_back = _quarantine(self.held.store, manifest.quarantine)
        moment = now()
        copy = copy_without(
            manifest, self.ids, excised, held_back, snapshot=new_id(moment), created_at=timestamp(moment)
        )
        if copy is not None:
            self.found |= copy.found
        return copy

    def _cut(self, manifest: Manifest, entry: PartEntry, folder: Path) -> Excised:
        if entry.sha256 in self._excised:
            return self._excised[entry.sha256]
        key = layout.snapshot_prefix(self.corpus, manifest.snapshot) + entry.name
        if manifest.schema != V1.name:
            raise _not_written(key, manifest.schema)
        source, target = folder / "source.parquet", folder / f"{len(self._excised)}.parquet"
        try:
            self.held.store.download(key, source)
        except ObjectMissingError:
            raise DataError(f"{key} is missing: restore it, or roll back to another snapshot") from None
        if file_sha256(source) != entry.sha256:
            raise DataError(f"{key} is not what was published: restore it, or roll back to another snapshot")
        cut = excise(
            source,
            target,
            pa.array(self.ids, pa.string()),
            fingerprint=manifest.fingerprint,
            run=self.held.record.entry.run,
        )
        self._excised[entry.sha256] = cut
        return cut

    def _copy_beside(self, copy: Copy, snapshot: str, schema: int, folder: Path) -> Copy:
        """The same copy in another version of the schema: what was cut out of is derived again."""
        other, version = self._manifest(snapshot, schema), find_version(schema)
        derived: dict[Path, tuple[Path, PartReport]] = {}
        for part in copy.parts:
            if isinstance(part.source, Path):
                if version is None or other.schema != version.name:
                    raise _not_written(layout.manifest_key(self.corpus, snapshot, schema), other.schema)
                derived[part.source] = self._derive(part.source, part.entry, version, folder)
        return copy_beside(copy, other, derived)

    def _derive(self, cut: Path, entry: PartEntry, version: SchemaVersion, folder: Path) -> tuple[Path, PartReport]:
        if (cut, version.name) not in self._derived:
            self.held.lease.check()
            path = folder / f"{cut.stem}-v{version.name}.parquet"
            derive_part(cut, path, version, run=self.held.record.entry.run)
            report = replace(report_of(entry), size_bytes=path.stat().st_size, sha256=file_sha256(path))
            self._derived[cut, version.name] = path, report
        return self._derived[cut, version.name]

    def _write(self, copy: Copy, beside: Sequence[Copy]) -> None:
        """Write the parts, the quarantine and the manifests of a copy in all versions of the schema, last the manifest
        of the first. Raises DataError unless its folders then hold just what they should."""
        store, manifests = self.held.store, [self._write_parts(each) for each in (*beside, copy)]
        if len(copy.quarantined):
            # A file of its own: the original's goes with the original.
            key = layout.quarantine_key(self.corpus, copy.manifest.snapshot)
            manifests = [replace(manifest, quarantine=key) for manifest in manifests]
            store.put(key, quarantine.to_parquet([copy.quarantined]))
        for manifest in manifests:
            store.put(layout.manifest_key(self.corpus, manifest.snapshot, manifest.major), json_form.encode(manifest))

    def _write_parts(self, copy: Copy) -> Manifest:
        """Write the parts of a copy; its manifest."""
        store = self.held.store
        prefix = layout.snapshot_prefix(self.corpus, copy.manifest.snapshot, copy.manifest.major)

        def place(part: tuple[str | Path, str]) -> None:
            source, key = part
            try:
                store.copy(self._placed[source] if isinstance(source, Path) else source, key)
            except ObjectMissingError:
                raise DataError(f"{source} is missing: restore it, or roll back to another snapshot") from None

        to_copy: list[tuple[str | Path, str]] = []
        for part in copy.parts:
            key = prefix + part.entry.name
            if isinstance(part.source, Path) and part.source not in self._placed:
                store.create(key, part.source)
                self._placed[part.source] = key
            else:
                to_copy.append((part.source, key))
        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            list(pool.map(place, to_copy))
        if faults := faults_of_folder(copy.manifest, store.list(prefix)):
            raise DataError(f"{faults[0].key} {faults[0].what}; run it again")
        return copy.manifest

    def delete(self) -> int:
        """Delete all that is doomed, and everything in ``staging/`` and ``submissions/``; the number of objects."""
        lease, store = self.held.lease, self.held.store
        doomed = lease.catalogue.doomed
        listing = self._everything()
        schemas = layout.MAJOR_VERSIONS
        manifests = {layout.manifest_key(self.corpus, each, schema) for each in doomed for schema in schemas}
        manifests &= set(listing)
        kept = set(_quarantines(store, [key for key in self._manifests(listing) if key not in manifests]))
        keys = [
            *sorted((set(_quarantines(store, sorted(manifests))) - kept) & set(listing)),
            *sorted(manifests),
            *(key for key in listing if _snapshot_of(key, self.corpus) in doomed),
            *(key for key in listing if key.startswith(layout.staging_prefix(self.corpus))),
            *(key for key in listing if key.startswith(layout.submissions_prefix(self.corpus))),
        ]
        stones = {layout.tombstone_key(self.corpus, each) for each in doomed} & set(listing)
        for some in (keys, sorted(stones)):
            for start in range(0, len(some), _BATCH):
                lease.check()
                store.delete(some[start : start + _BATCH])
        if doomed:
            lease.record(lambda catalogue: catalogue.without(doomed))
        return len(keys)

    def clear_quarantine(self) -> None:
        """Take the documents out of the quarantine of runs that made no snapshot."""
        store, wanted = self.held.store, pa.array(self.ids, pa.string())
        for key in self._list(layout.quarantine_prefix(self.corpus)):
            rows = _quarantine(store, key)
            chosen = pc.is_in(rows["doc_id"], wanted)
            if not pc.any(chosen).as_py():
                continue
            self.held.lease.check()
            self.found |= set(rows.filter(chosen)["doc_id"].to_pylist())
            rest = rows.filter(pc.invert(chosen))
            if len(rest):
                store.put(key, quarantine.to_parquet([rest]))
            else:
                store.delete([key])

    def clear_ledger(self) -> None:
        """Take the ids out of messages of the ledger: a run may have been asked to analyse one that was not there."""
        store = self.held.store
        for key in self._list(layout.runs_prefix(self.corpus)):
            try:
                stored = store.get(key)
                if ids_in_json(stored.body, self.ids):
                    store.replace(key, redacted(stored.body, self.ids), stored.etag)
            except (ObjectMissingError, ConditionFailedError):
                continue  # the search at the end tells if an id is still there

    def _everything(self) -> list[str]:
        """Keys of all objects, of all versions of the schema."""
        return [key for prefix in layout.corpus_prefixes(self.corpus) for key in self._list(prefix)]

    def _list(self, prefix: str) -> list[str]:
        return [info.key for info in self.held.store.list(prefix)]

    def _manifests(self, listing: Sequence[str]) -> list[str]:
        return [key for key in listing if key.startswith(layout.manifests_prefix(self.corpus))]


def _quarantines(store: ObjectStore, manifests: Sequence[str]) -> Iterator[str]:
    """The quarantine files that manifests name; one that cannot be read names none."""
    for key in manifests:
        try:
            named = decode_manifest(store.get(key).body, key).quarantine
        except (DataError, ObjectMissingError):
            continue
        if named:
            yield named


def _quarantine(store: ObjectStore, key: str | None) -> pa.Table:
    """The rows of a quarantine file; none where it is gone. Raises DataError where it is damaged."""
    if key is None:
        return quarantine.SCHEMA.empty_table()
    try:
        return pq.read_table(pa.BufferReader(store.get(key).body))
    except ObjectMissingError:
        return quarantine.SCHEMA.empty_table()
    except pa.ArrowException as error:
        raise DataError(f"{key} cannot be read ({' '.join(str(error).split())}): restore or delete it") from None


def _not_written(key: str, schema: str) -> DataError:
    return DataError(
        f"{key} is of schema {schema}, which this version does not write: take the document down with the version that "
        "wrote it, or let retention remove the snapshot"
    )


def _snapshots(keys: Collection[str], corpus: str) -> set[str]:
    """Names of the snapshots of which there is a part or a manifest."""
    manifests = {
        rest.removeprefix("manifests/").removesuffix(".json")
        for key in keys
        if (rest := _within(key, corpus)).startswith("manifests/")
    }
    return manifests | {name for key in keys if (name := _snapshot_of(key, corpus))}


def _snapshot_of(key: str, corpus: str) -> str | None:
    """The snapshot in whose folder an object lies."""
    rest = _within(key, corpus)
    return rest.split("/")[1] if rest.startswith("snapshots/") else None


def _within(key: str, corpus: str) -> str:
    """An object's key in the tree of its version of the schema."""
    _, rest = layout.within(corpus, key) or (0, "")
    return rest
