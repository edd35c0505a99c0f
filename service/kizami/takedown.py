"""A take-down: documents vanish from everything that is kept of a corpus, and no run takes them in again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from kizami import layout, quarantine
from kizami.errors import DataError
from kizami.manifest import decode_manifest
from kizami.pointer import Pointer
from kizami.rewriting import Rewriting, keys_of, snapshot_of
from kizami.stores import ConditionFailedError, ObjectMissingError, ObjectStore, Versioning
from kizami.suppression import suppress
from kizami.traces import ids_in_json, redacted, traces
from kizami.undertaking import Undertaking
from kizami.workspace import workspace

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
    rewriting = Rewriting(held, corpus, ids, may_go_on)
    with held.record.stage("list"):
        listed = suppress(held.store, corpus, ids)
    with workspace() as folder, held.record.stage("rewrite"):
        copies, unwanted = rewriting.rewrite(folder)
    pointer = held.lease.predecessor
    with held.record.stage("publish"):
        if copies:
            pointer = held.lease.take_down(copies)
        if unwanted:
            held.lease.record(lambda catalogue: catalogue.with_doomed(unwanted))
    erasure = _Erasure(held, corpus, ids, rewriting.found)
    with held.record.stage("delete"):
        objects = erasure.delete()
        erasure.clear_quarantine()
        erasure.clear_ledger()
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
        found=len(erasure.found),
        copies={original: copy.snapshot for original, copy in copies.items()},
        deleted=tuple(unwanted),
        objects=objects,
        searched=searched,
        versioning=held.store.versioning(),
        pointer=pointer,
    )


@dataclass
class _Erasure:
    """What one take-down deletes while it holds the lock."""

    held: Undertaking
    corpus: str
    ids: tuple[str, ...]
    found: set[str]
    """Those of the documents that were found so far."""

    def delete(self) -> int:
        """Delete all that is doomed, and everything in ``staging/`` and ``submissions/``; the number of objects."""
        lease, store = self.held.lease, self.held.store
        store.clear_leftovers()
        doomed = lease.catalogue.doomed
        listing = keys_of(store, self.corpus)
        schemas = layout.MAJOR_VERSIONS
        manifests = {layout.manifest_key(self.corpus, each, schema) for each in doomed for schema in schemas}
        manifests &= set(listing)
        kept = set(_quarantines(store, [key for key in self._manifests(listing) if key not in manifests]))
        keys = [
            *sorted((set(_quarantines(store, sorted(manifests))) - kept) & set(listing)),
            *sorted(manifests),
            *(key for key in listing if snapshot_of(key, self.corpus) in doomed),
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
            rows = quarantine.read(store, key)
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
