"""Candidates: snapshots that lie complete in the store and were not published; how one is judged, and published."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import pyarrow as pa

from kizami import layout
from kizami.catalogue import Catalogue, Publication, State
from kizami.errors import DataError, GateClosedError
from kizami.gates import Figures, Gate, Limits, closed, judge
from kizami.lease import Lease
from kizami.manifest import Manifest, decode_manifest, pointer_to
from kizami.pointer import Pointer
from kizami.readers import read_manifest
from kizami.record import now, timestamp
from kizami.stores import ObjectMissingError, ObjectStore
from kizami.suppression import Suppression, read_suppression
from kizami.traces import doc_ids_of
from kizami.undertaking import Undertaking
from kizami.verification import faults_of_folder
from kizami.workspace import workspace

_NAMED: Final = 5
"""Candidates that an error names, the newest."""


@dataclass(frozen=True, slots=True)
class Publishing:
    """What publishing a candidate came to."""

    pointer: Pointer
    """What the date names now."""
    manifest: Manifest
    forced: tuple[Gate, ...]
    """The gates that were closed."""
    latest: Pointer | None
    """What ``latest`` named before."""
    did_nothing: bool
    """Whether it was published already."""

    @property
    def is_latest(self) -> bool:
        """Whether ``latest`` names it now: it never goes to an earlier date."""
        return self.latest is None or self.latest.date <= self.pointer.date


def verdicts(store: ObjectStore, lease: Lease, date: str, figures: Figures, limits: Limits) -> tuple[Gate, ...]:
    """Judge a snapshot of a date, against the nearest earlier date's and the predecessor. Raises DataError where the
    predecessor's manifest is missing or damaged."""
    earlier = lease.catalogue.nearest_before(date)
    counts = read_manifest(store, lease.predecessor).counts if lease.predecessor else None
    unknown = counts.unknown_tokens / counts.tokens if counts and counts.tokens else None
    rows = earlier.pointer.rows if earlier else None
    return tuple(judge(figures, limits, earlier_rows=rows, earlier_unknown=unknown))


def require_open(manifest: Manifest, *, force: bool = False) -> None:
    """Raise GateClosedError if a gate is closed that keeps the snapshot back, or with ``force``, cannot be forced."""
    shut = closed(manifest.gates)
    final = [gate for gate in shut if not gate.can_be_forced]
    if not (final if force else shut):
        return
    corpus, snapshot = manifest.corpus, manifest.snapshot
    names = f"{snapshot} of {corpus}, {manifest.date}, is not published: {', '.join(map(str, final or shut))}"
    look = f"look at it with `kizami diff {corpus} latest {snapshot}`, and " if manifest.predecessor else ""
    remedy = (
        "this cannot be forced; run the date again, and report it if it comes back"
        if final
        else f"it is in the store; {look}if it is right, publish it with `kizami publish {corpus} {snapshot} --force`"
    )
    raise GateClosedError(f"{names}: {remedy}", {"snapshot": snapshot, "gates": [asdict(g) for g in manifest.gates]})


def next_steps(candidate: Pointer, gates: Sequence[Gate]) -> str:
    """What a person may do with a candidate, in lines."""
    corpus, snapshot, shut = candidate.corpus, candidate.snapshot, closed(gates)
    lines = [f"not published; what it would change: kizami diff {corpus} latest {snapshot}"]
    if shut:
        lines.append(f"closed: {', '.join(map(str, shut))}")
    if all(gate.can_be_forced for gate in shut):
        lines.append(f"to publish it: kizami publish {corpus} {snapshot}{' --force' if shut else ''}")
    return "\n".join(lines)


def publish(
    held: Undertaking, corpus: str, snapshot: str, *, force: bool = False, schemas: Collection[int] = (1,)
) -> Publishing:
    """Publish a candidate, or a snapshot that a gate held back, as the newest revision of its date, in all versions of
    the schema that the configuration has.

    ``force`` goes past closed gates, but for those that cannot be forced. Raises, before anything is changed,
    GateClosedError; DataError for a snapshot that is not there, not whole, taken back, or overtaken; LockLostError,
    UnavailableError, CommitStateUnknownError.
    """
    catalogue, latest = held.lease.catalogue, held.lease.predecessor
    with held.record.stage("check"):
        known = catalogue.find(snapshot)
        if known is not None:
            return _known(held, known)
        manifest = _manifest(held.store, catalogue, corpus, snapshot)
        held.record.note(fingerprint=manifest.fingerprint, gates=manifest.gates, date=manifest.date)
        others = [_beside(held.store, manifest, schema) for schema in sorted(schemas) if schema != manifest.major]
        for each in (manifest, *others):
            _require_whole(held.store, each)
        _require_current(catalogue, manifest)
        _require_lawful(held.store, manifest)
        require_open(manifest, force=force)
    with held.record.stage("publish"):
        pointer = held.lease.commit(pointer_to(manifest, timestamp(now())), [other.major for other in others])
    return Publishing(pointer, manifest, tuple(closed(manifest.gates)), latest, did_nothing=False)


def _known(held: Undertaking, publication: Publication) -> Publishing:
    """Of a snapshot that was published before. Raises DataError unless its date shows it."""
    pointer, corpus = publication.pointer, publication.pointer.corpus
    name = f"{pointer.snapshot} of {corpus}, {pointer.date},"
    shown = held.lease.catalogue.shown().get(pointer.date)
    if publication == shown:
        manifest = read_manifest(held.store, pointer)
        return Publishing(pointer, manifest, (), held.lease.predecessor, did_nothing=True)
    go_back = f"`kizami rollback {corpus} {pointer.snapshot}` goes back to it and withdraws what is newer"
    what = {
        State.WITHDRAWN: f"was withdrawn by a rollback: {go_back}",
        State.RETIRED: f"was retired with its date: {go_back}",
        State.PUBLISHED: f"was published, and {shown.snapshot if shown else 'another'} after it: {go_back}",
    }
    raise DataError(f"{name} {what[publication.state]}")


def _manifest(store: ObjectStore, catalogue: Catalogue, corpus: str, snapshot: str) -> Manifest:
    names = _candidates(store, catalogue, corpus)
    if snapshot in names:
        key = layout.manifest_key(corpus, snapshot)
        return decode_manifest(store.get(key).body, key)
    what = (
        f"snapshot {snapshot!r} of {corpus} is being deleted"
        if snapshot in catalogue.doomed
        else f"no snapshot {snapshot!r} of {corpus} is in the store"
    )
    raise DataError(f"{what}; {_listed(store, corpus, names)}")


def _beside(store: ObjectStore, manifest: Manifest, schema: int) -> Manifest:
    """The manifest of a candidate in another major version."""
    key = layout.manifest_key(manifest.corpus, manifest.snapshot, schema)
    try:
        return decode_manifest(store.get(key).body, key)
    except ObjectMissingError:
        raise DataError(
            f"{manifest.snapshot} was made without schema version {schema}, which `schemas` asks for: "
            f"{_make_another(manifest)}"
        ) from None


def _make_another(manifest: Manifest) -> str:
    return f"make another with `kizami run {manifest.corpus} --date {manifest.date} --candidate`"


def _candidates(store: ObjectStore, catalogue: Catalogue, corpus: str) -> list[str]:
    """Snapshots with a manifest that were never published and are not being deleted, the newest first."""
    prefix = layout.manifests_prefix(corpus)
    names = [info.key.removeprefix(prefix).removesuffix(".json") for info in store.list(prefix)]
    return sorted((name for name in names if not catalogue.knows(name)), reverse=True)


def _listed(store: ObjectStore, corpus: str, names: list[str]) -> str:
    described = [f"{name} ({_described(store, layout.manifest_key(corpus, name))})" for name in names[:_NAMED]]
    older = f" and {len(names) - _NAMED} older" if len(names) > _NAMED else ""
    return f"candidates: {', '.join(described)}{older}" if described else "there is no candidate"


def _described(store: ObjectStore, key: str) -> str:
    """Date and closed gates."""
    try:
        manifest = decode_manifest(store.get(key).body, key)
    except DataError:
        return "damaged"
    return ", ".join([manifest.date, *(f"{gate.name} closed" for gate in closed(manifest.gates))])


def _require_whole(store: ObjectStore, manifest: Manifest) -> None:
    again = _make_another(manifest)
    if faults := faults_of_folder(manifest, store.list(pointer_to(manifest, "").path)):
        first = min(faults, key=lambda fault: fault.key)
        raise DataError(f"{manifest.snapshot} is not whole, {first.key} {first.what}: {again}")
    if not manifest.gates:
        raise DataError(f"{manifest.snapshot} was made by a version of kizami that had no gates: {again}")


def _require_lawful(store: ObjectStore, manifest: Manifest) -> None:
    """Refuse what has a document that was taken down: a run that stopped for a while may have left it since."""
    suppression = read_suppression(store, manifest.corpus)
    if len(suppression) <= manifest.suppressed:
        return
    if place := _place_of_one(store, manifest, suppression):
        raise DataError(
            f"{manifest.snapshot} has a document in {place} that `kizami forget` took down: "
            f"{_make_another(manifest)}, and forget the document again, which deletes this one"
        )


def _place_of_one(store: ObjectStore, manifest: Manifest, suppression: Suppression) -> str | None:
    """Where a snapshot names a document of the list, if it does: a part, the quarantine, the bounds."""
    if len(suppression.among(pa.array(manifest.bounds, pa.string()))):
        return "its bounds"
    keys = [layout.part_key(manifest.corpus, manifest.snapshot, number) for number in range(len(manifest.parts))]
    with workspace() as folder:
        path = folder / "part.parquet"
        for key in [manifest.quarantine, *keys] if manifest.quarantine else keys:
            try:
                store.download(key, path)
            except ObjectMissingError:
                continue  # of the quarantine: that the parts are there was seen before
            if any(len(suppression.among(doc_ids)) for doc_ids in doc_ids_of(path)):
                return "its quarantine" if key == manifest.quarantine else key.rpartition("/")[2]
    return None


def _require_current(catalogue: Catalogue, manifest: Manifest) -> None:
    """Refuse what would take readers back, or bring back what was taken from them."""
    again = _make_another(manifest)
    newer = catalogue.shown().get(manifest.date)
    if newer and newer.pointer.commit > manifest.after_commit:
        raise DataError(
            f"{manifest.snapshot} is older than what its date shows: {newer.snapshot} of {manifest.date} was published "
            f"after it was begun; {again}"
        )
    predecessor = catalogue.find(manifest.predecessor) if manifest.predecessor else None
    if predecessor and predecessor.state is State.WITHDRAWN:
        raise DataError(
            f"{manifest.snapshot} was made from {predecessor.snapshot}, which a rollback has withdrawn since; {again}"
        )
