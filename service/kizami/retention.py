"""Retention: what a store keeps and for how long, decided from its listing and its catalogue. No store, no clock.

A snapshot that no pointer names any more gets a tombstone, whose age by the store's clock says how long readers have
had to finish. What goes is first written down as doomed in ``head.json``: from then on nobody points to it again, so
that a process which stopped in the middle of deleting can do no harm when it goes on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from kizami import layout
from kizami.catalogue import Catalogue, State
from kizami.stores import ObjectInfo

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class Terms:
    """How much is kept, and how long. Ages are those of the store."""

    dates: int = 14
    """Business dates that keep their pointer, the newest; what ``latest`` names and ``spared`` come on top."""
    spared: frozenset[str] = frozenset()
    """Dates that keep their pointer this time: an old one that was filled in just now."""
    grace_seconds: float = _DAY
    """From a snapshot's tombstone to its removal. Part of the contract: a reader may be busy for that long."""
    candidate_seconds: float = 7 * _DAY
    """How long a snapshot waits that was never published, for somebody to look at it: over a holiday, too."""
    fragment_seconds: float = _DAY
    """How long the parts of a snapshot stay whose run died before its manifest. Nobody can use them."""
    staging_seconds: float = 3 * _DAY
    """How long finished parts wait for a run that takes them up, and submissions for theirs: over a weekend."""
    quarantine_seconds: float = 30 * _DAY
    """How long the quarantine of a run that made no snapshot stays; that of a snapshot goes with it."""
    runs: int = 1000
    """Entries of the ledger, the newest: three years of one a day. Each is a kilobyte or two."""


class Reason(StrEnum):
    """Why no pointer names a snapshot any more."""

    SUPERSEDED = "superseded"
    """Its date has a later revision."""
    WITHDRAWN = "withdrawn"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """``tombstones/{snapshot}.json``: written when a snapshot was first found without a pointer. Its age counts."""

    snapshot: str
    date: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to do, in the order of the fields."""

    retired: tuple[str, ...] = ()
    """Dates to take back."""
    doomed: tuple[str, ...] = ()
    """Snapshots to be deleted from now on."""
    gone: tuple[str, ...] = ()
    """Doomed snapshots of which nothing is left."""
    pointers: tuple[str, ...] = ()
    """Keys of date pointers to remove."""
    tombstones: tuple[Tombstone, ...] = ()
    """To be written once the pointers are gone."""
    manifests: tuple[ObjectInfo, ...] = ()
    """Manifests to delete; before the parts, so that a folder in the middle of being deleted has none."""
    objects: tuple[ObjectInfo, ...] = ()
    """Everything else to delete: parts, staging, the ledger's oldest entries."""
    graves: tuple[ObjectInfo, ...] = ()
    """Tombstones to delete, after what lay under them."""

    def applied(self, catalogue: Catalogue) -> Catalogue:
        """The catalogue as it has to be before anything is touched. Doing it again changes nothing."""
        return catalogue.with_retired(self.retired).with_doomed(self.doomed).without(self.gone)


@dataclass(slots=True)
class _Found:
    """What a listing has of one snapshot, in all versions of the schema."""

    parts: list[ObjectInfo] = field(default_factory=list)
    manifest: ObjectInfo | None = None
    """That of the first version: it is written last."""
    manifests: list[ObjectInfo] = field(default_factory=list)
    tombstone: ObjectInfo | None = None

    @property
    def idle_seconds(self) -> float:
        """Since the last part was written."""
        return min((info.age_seconds for info in (*self.parts, *self.manifests)), default=0.0)


def plan_gc(listing: Iterable[ObjectInfo], catalogue: Catalogue, latest: str | None, corpus: str, terms: Terms) -> Plan:
    """What to remove of a corpus whose objects, of all versions of the schema, are ``listing``, and ``latest`` the
    snapshot that the ``latest.json`` of the first one names.

    For the one who holds the lock: nobody else is making a snapshot. Keys of no known kind are left alone.
    """
    found, others = _sorted_out(listing, corpus)
    retired = _overdue(catalogue, latest, terms)
    after = catalogue.with_retired(retired)
    shown = {each.snapshot for each in after.shown().values()} | {latest}
    doomed: list[str] = []
    tombstones: list[Tombstone] = []
    for snapshot in sorted({*found, *(each.snapshot for each in after.publications)} - shown - {*after.doomed}):
        own = found.get(snapshot, _Found())
        if own.tombstone is None and (stone := _tombstone(snapshot, after)) and (own.parts or own.manifests):
            tombstones.append(stone)
        elif _is_overdue(own, terms, published=after.find(snapshot) is not None):
            doomed.append(snapshot)
    going = {*doomed, *after.doomed}
    return Plan(
        retired=retired,
        doomed=tuple(doomed),
        gone=tuple(each for each in after.doomed if each not in found),
        pointers=_stray_pointers(others["dates"], after, corpus),
        tombstones=tuple(tombstones),
        manifests=tuple(info for snapshot, own in found.items() if snapshot in going for info in own.manifests),
        objects=(
            *(part for snapshot, own in found.items() if snapshot in going for part in own.parts),
            *(info for info in others["staging"] if info.age_seconds >= terms.staging_seconds),
            *(info for info in others["submissions"] if info.age_seconds >= terms.staging_seconds),
            *sorted(others["runs"], key=lambda info: info.key, reverse=True)[terms.runs :],
        ),
        graves=tuple(own.tombstone for snapshot, own in found.items() if snapshot in going | shown and own.tombstone),
    )


def plan_quarantine(
    files: Iterable[ObjectInfo], leaving: Collection[str], kept: Collection[str] | None, terms: Terms
) -> tuple[ObjectInfo, ...]:
    """Which quarantine files to delete: those of snapshots that go, and old ones of runs that made no snapshot.

    ``leaving`` and ``kept`` are the keys that manifests name, those that go and those that stay; ``kept`` is None if
    they were not all read, and then nothing is known of files that are not in ``leaving``.
    """
    return tuple(
        info
        for info in files
        if info.key not in (kept or ())
        and (info.key in leaving or (kept is not None and info.age_seconds >= terms.quarantine_seconds))
    )


def _stray_pointers(dates: Iterable[ObjectInfo], after: Catalogue, corpus: str) -> tuple[str, ...]:
    """Keys of date pointers, of all versions of the schema, that are not to be there."""
    expected = {layout.date_key(corpus, date) for date in after.shown()}
    for schema in after.others:
        expected |= {layout.date_key(corpus, date, schema) for date in after.shown_in(schema)}
    return tuple(info.key for info in dates if info.key not in expected)


def _overdue(catalogue: Catalogue, latest: str | None, terms: Terms) -> tuple[str, ...]:
    """Dates that are to lose their pointer, the newest first."""
    shown = catalogue.shown()
    older = sorted(shown, reverse=True)[terms.dates :]
    return tuple(date for date in older if date not in terms.spared and shown[date].snapshot != latest)


def _tombstone(snapshot: str, catalogue: Catalogue) -> Tombstone | None:
    publication = catalogue.find(snapshot)
    if publication is None:
        return None
    reasons = {
        State.PUBLISHED: Reason.SUPERSEDED,
        State.WITHDRAWN: Reason.WITHDRAWN,
        State.RETIRED: Reason.RETIRED,
    }
    return Tombstone(snapshot, publication.date, reasons[publication.state])


def _is_overdue(own: _Found, terms: Terms, *, published: bool) -> bool:
    if own.tombstone:
        return own.tombstone.age_seconds >= terms.grace_seconds
    if published:  # and no object of it is left
        return True
    if own.manifest:
        return own.manifest.age_seconds >= terms.candidate_seconds
    return own.idle_seconds >= terms.fragment_seconds


def _sorted_out(
    listing: Iterable[ObjectInfo], corpus: str
) -> tuple[dict[str, _Found], Mapping[str, Sequence[ObjectInfo]]]:
    """A listing by snapshot, and the rest by its folder."""
    found: dict[str, _Found] = {}
    others: dict[str, list[ObjectInfo]] = defaultdict(list)
    for info in listing:
        schema, key = layout.within(corpus, info.key) or (1, info.key)
        folder, _, rest = key.partition("/")
        match folder:
            case "snapshots" if "/" in rest:
                found.setdefault(rest.partition("/")[0], _Found()).parts.append(info)
            case "manifests" if rest.endswith(".json"):
                own = found.setdefault(rest.removesuffix(".json"), _Found())
                own.manifests.append(info)
                own.manifest = info if schema == 1 else own.manifest
            case "tombstones" if rest.endswith(".json"):
                found.setdefault(rest.removesuffix(".json"), _Found()).tombstone = info
            case _:
                others[folder].append(info)
    return found, others
