"""Rewriting: every snapshot that has one of some documents, put once more into the store without them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from kizami import json_form, layout, quarantine
from kizami.errors import DataError
from kizami.excision import Copy, Excised, copy_beside, copy_without, excise
from kizami.manifest import Manifest, PartEntry, decode_manifest, pointer_to
from kizami.partfile import PartReport, derive_part, file_sha256
from kizami.pointer import Pointer
from kizami.predecessor import report_of
from kizami.record import new_id, now, timestamp
from kizami.stores import ObjectMissingError, ObjectStore
from kizami.undertaking import Undertaking
from kizami.verification import faults_of_folder
from kizami_schemas.versions import V1, SchemaVersion, find_version

_COPIES_AT_ONCE: Final = 8


@dataclass
class Rewriting:
    """The copies that one take-down makes while it holds the lock."""

    held: Undertaking
    corpus: str
    ids: tuple[str, ...]
    may_go_on: Callable[[], None]
    found: set[str] = field(default_factory=set)
    """Those of the documents that were in a snapshot."""
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
        there = set(keys_of(self.held.store, self.corpus))
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
            raise DataError(
                f"{key} is missing though its snapshot is published: restore it, or publish its date anew with "
                f"`kizami run {self.corpus} --date D --full`, then run it again"
            ) from None

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
        held_back = quarantine.read(self.held.store, manifest.quarantine)
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
            raise _damage(key, "is missing", manifest) from None
        if file_sha256(source) != entry.sha256:
            raise _damage(key, "is not what was published", manifest)
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
                raise _damage(str(source), "is missing", copy.manifest) from None

        to_copy: list[tuple[str | Path, str]] = []
        for part in copy.parts:
            key = prefix + part.entry.name
            if isinstance(part.source, Path) and part.source not in self._placed:
                store.upload(key, part.source)
                self._placed[part.source] = key
            else:
                to_copy.append((part.source, key))
        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            list(pool.map(place, to_copy))
        if faults := faults_of_folder(copy.manifest, store.list(prefix)):
            raise DataError(f"{faults[0].key} {faults[0].what}; run it again")
        return copy.manifest


def keys_of(store: ObjectStore, corpus: str) -> list[str]:
    """Keys of all objects of a corpus, of all versions of the schema."""
    return [info.key for prefix in layout.corpus_prefixes(corpus) for info in store.list(prefix)]


def _damage(key: str, what: str, manifest: Manifest) -> DataError:
    # A snapshot that its date does not show any more is deleted, whatever is wrong with it.
    return DataError(
        f"{key} {what}: restore it, or publish its date anew with `kizami run {manifest.corpus} --date {manifest.date} "
        "--full`, then run it again"
    )


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
    return manifests | {name for key in keys if (name := snapshot_of(key, corpus))}


def snapshot_of(key: str, corpus: str) -> str | None:
    """The snapshot in whose folder an object lies."""
    rest = _within(key, corpus)
    return rest.split("/")[1] if rest.startswith("snapshots/") else None


def _within(key: str, corpus: str) -> str:
    """An object's key in the tree of its version of the schema."""
    _, rest = layout.within(corpus, key) or (0, "")
    return rest
