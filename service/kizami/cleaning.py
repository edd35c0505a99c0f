"""Cleaning a corpus: what :mod:`kizami.retention` decides, carried out in an order that a crash cannot harm.

The catalogue first, then the date pointers, then the tombstones, then what is doomed. Whoever comes next finds the rest
to do in the listing and the catalogue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from kizami import json_form, layout
from kizami.catalogue import Catalogue
from kizami.commit import Head, decode_head
from kizami.conversation import perform
from kizami.errors import DataError, UnavailableError
from kizami.lease import Lease
from kizami.manifest import decode_manifest
from kizami.protocol import Place
from kizami.readers import find_pointer
from kizami.retention import Plan, Terms, plan_gc, plan_quarantine
from kizami.stores import ConditionFailedError, ObjectInfo, ObjectMissingError, ObjectStore
from kizami.survey import survey

_BATCH: Final = 1000
"""Objects deleted between two looks at the lock: what S3 takes in one request."""


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What there was to clean up, or in a dry run, is."""

    retired: tuple[str, ...]
    """Business dates that lose their pointer."""
    waiting: tuple[str, ...]
    """Snapshots whose time begins to run: no pointer names them any more."""
    snapshots: tuple[str, ...]
    """Snapshots that are deleted."""
    objects: int
    """Objects deleted, those of snapshots included."""
    size_bytes: int

    @property
    def did_anything(self) -> bool:
        """Whether there was something to do."""
        return bool(self.retired or self.waiting or self.objects)

    def __str__(self) -> str:
        parts = (
            (f"retired {', '.join(sorted(self.retired))}", self.retired),
            (f"{_snapshots(self.waiting)} to be deleted after 24 h", self.waiting),
            (f"deleted {_snapshots(self.snapshots)}", self.snapshots),
            (f"{self.objects:,} objects, {self.size_bytes:,} bytes", self.objects),
        )
        return "; ".join(text for text, present in parts if present) or "nothing to clean up"


def _snapshots(names: Sequence[str]) -> str:
    return f"{len(names):,} snapshot{'' if len(names) == 1 else 's'}"


def clean(
    store: ObjectStore, lease: Lease, corpus: str, terms: Terms, may_go_on: Callable[[], None] = lambda: None
) -> Cleaning:
    """Carry retention out under the lock. ``may_go_on`` may raise to end it. Raises LockLostError, UnavailableError,
    DataError.

    A failure leaves everything readable that a pointer names, and the rest to the next time.
    """

    def check() -> None:
        lease.check()
        may_go_on()

    check()
    listing = _listing(store, corpus)
    plan, quarantine = _plan(store, listing, lease.catalogue, corpus, terms)
    check()
    # First into the catalogue: what is doomed there is never pointed to again, even if this process stops for an hour
    # and then goes on deleting.
    if plan.applied(lease.catalogue) != lease.catalogue:
        lease.record(plan.applied)
    if not lease.settled:
        raise UnavailableError(f"the last commit of {corpus} is not recorded as finished: gc is put off")
    if plan.pointers:
        lease.survey()
    for stone in plan.tombstones:
        check()
        with suppress(ConditionFailedError):
            store.create(layout.tombstone_key(corpus, stone.snapshot), json_form.encode(stone))
    for infos in ((*plan.manifests, *quarantine), plan.objects, plan.graves):
        _delete(store, infos, check)
    return _summary(plan, quarantine, corpus)


def preview(store: ObjectStore, corpus: str, terms: Terms) -> Cleaning:
    """What :func:`clean` would do now. Reads only, without the lock: a run may change it meanwhile."""
    place = Place(corpus)
    try:
        head = decode_head(store.get(place.head_key).body, place.head_key)
    except ObjectMissingError:
        head = Head(0)
    found = perform(survey(place, head), store, time.sleep)
    catalogue = head.catalogue.with_adopted(found.unknown)
    listing = _listing(store, corpus)
    return _summary(*_plan(store, listing, catalogue, corpus, terms), corpus)


def _listing(store: ObjectStore, corpus: str) -> list[ObjectInfo]:
    """Everything of a corpus, in all versions of the schema."""
    return [info for prefix in layout.corpus_prefixes(corpus) for info in store.list(prefix)]


def _plan(
    store: ObjectStore, listing: Sequence[ObjectInfo], catalogue: Catalogue, corpus: str, terms: Terms
) -> tuple[Plan, tuple[ObjectInfo, ...]]:
    latest = find_pointer(store, corpus)
    plan = plan_gc(listing, catalogue, latest.snapshot if latest else None, corpus, terms)
    files = [info for info in listing if info.key.startswith(layout.quarantine_prefix(corpus))]
    if not files:
        return plan, ()
    going = {info.key for info in plan.manifests}
    leaving = {key for manifest in going if (key := _quarantine_of(store, manifest))}
    kept: set[str] | None = None
    if any(info.age_seconds >= terms.quarantine_seconds and info.key not in leaving for info in files):
        kept = _kept(store, [info for info in listing if info.key not in going], corpus)
    return plan, plan_quarantine(files, leaving, kept, terms)


def _kept(store: ObjectStore, listing: Sequence[ObjectInfo], corpus: str) -> set[str] | None:
    """Keys of the quarantine files that manifests in a listing name; None if one of them cannot be read."""
    manifests = [info.key for info in listing if info.key.startswith(layout.manifests_prefix(corpus))]
    try:
        found = [decode_manifest(store.get(key).body, key).quarantine for key in manifests]
    except (DataError, ObjectMissingError):
        return None
    return {key for key in found if key}


def _quarantine_of(store: ObjectStore, manifest: str) -> str | None:
    with suppress(DataError, ObjectMissingError):  # damaged: its quarantine goes when it is old
        return decode_manifest(store.get(manifest).body, manifest).quarantine
    return None


def _delete(store: ObjectStore, infos: Sequence[ObjectInfo], check: Callable[[], None]) -> None:
    for start in range(0, len(infos), _BATCH):
        check()
        store.delete(info.key for info in infos[start : start + _BATCH])


def _summary(plan: Plan, quarantine: Sequence[ObjectInfo], corpus: str) -> Cleaning:
    # Tombstones are book-keeping: they are not counted.
    infos = [*plan.manifests, *quarantine, *plan.objects]
    names = set()
    for info in infos:
        _, key = layout.within(corpus, info.key) or (1, "")
        folder, _, rest = key.partition("/")
        if folder in {"snapshots", "manifests"}:
            names.add(rest.partition("/")[0].removesuffix(".json"))
    return Cleaning(
        retired=plan.retired,
        waiting=tuple(stone.snapshot for stone in plan.tombstones),
        snapshots=tuple(sorted(names)),
        objects=len(infos),
        size_bytes=sum(info.size_bytes for info in infos),
    )
