"""Rollback: ``latest`` goes back to an earlier snapshot, and what is newer is withdrawn."""

from __future__ import annotations

from dataclasses import dataclass

from kizami import layout
from kizami.catalogue import Catalogue, Publication, State
from kizami.errors import DataError
from kizami.pointer import Pointer
from kizami.readers import read_manifest
from kizami.stores import ObjectStore
from kizami.undertaking import Undertaking
from kizami.verification import faults_of_folder


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a rollback did."""

    pointer: Pointer
    """What ``latest`` names now."""
    withdrawn: tuple[Publication, ...]
    """Snapshots that it took back, as they were before; those of earlier rollbacks are not among them."""
    dates: dict[str, str | None]
    """For each date whose pointer moved: the snapshot it names now, or None if it has no pointer any more."""

    @property
    def did_nothing(self) -> bool:
        """Whether everything was so already."""
        return not self.withdrawn and not self.dates


def roll_back(held: Undertaking, corpus: str, snapshot: str) -> Rollback:
    """Let ``latest`` name ``snapshot`` again, and withdraw everything published after it or of a later date.

    The date of a withdrawn snapshot goes back to its newest earlier revision, or loses its pointer. A snapshot that was
    withdrawn or retired can be named too, as long as its folder is there; what else was withdrawn stays so. One commit
    does it all: whoever takes the lock next finishes it if this process cannot. Raises DataError, before anything is
    changed, for a snapshot that is not there or not whole; LockLostError, UnavailableError, CommitStateUnknownError.
    """
    before, latest = held.lease.catalogue, held.lease.predecessor
    with held.record.stage("check"):
        target = before.find(snapshot)
        if target is None:
            raise DataError(_unknown(before, corpus, snapshot))
        after = before.with_rolled_back(snapshot)
        if after == before and latest and latest.snapshot == snapshot:
            return Rollback(latest, (), {})
        shown, to_show = before.shown(), after.shown()
        appearing = [each for each in to_show.values() if each not in shown.values()]
        for each in dict.fromkeys([target, *appearing]):
            for pointer in (each.pointer, *map(each.pointer.in_schema, each.others)):
                _require_whole(held.store, pointer)
    with held.record.stage("publish"):
        # Before the commit: a tombstone left on a snapshot that is shown would have it deleted too soon the next time.
        held.store.delete(layout.tombstone_key(corpus, each.snapshot) for each in appearing)
        pointer = held.lease.roll_back(snapshot)
    changed = {
        date: to_show[date].snapshot if date in to_show else None
        for date in sorted({*shown, *to_show})
        if shown.get(date) != to_show.get(date)
    }
    withdrawn = tuple(
        old
        for old, new in zip(before.publications, after.publications, strict=True)
        if old.state is not new.state and new.state is State.WITHDRAWN
    )
    return Rollback(pointer, withdrawn, changed)


def _require_whole(store: ObjectStore, pointer: Pointer) -> None:
    manifest = read_manifest(store, pointer)
    if faults := faults_of_folder(manifest, store.list(pointer.path)):
        first = min(faults, key=lambda fault: fault.key)
        raise DataError(
            f"{pointer.snapshot} is not whole, {first.key} {first.what}: nothing was changed; name another snapshot"
        )


def _unknown(catalogue: Catalogue, corpus: str, snapshot: str) -> str:
    if snapshot in catalogue.doomed:
        return f"snapshot {snapshot!r} of {corpus} is being deleted; {_known(catalogue)}"
    return f"no snapshot {snapshot!r} of {corpus} was published; {_known(catalogue)}"


def _known(catalogue: Catalogue) -> str:
    names = [
        f"{each.snapshot} ({each.date}{'' if each.state is State.PUBLISHED else f', {each.state}'})"
        for each in reversed(catalogue.publications)
    ]
    return f"there are: {', '.join(names)}" if names else "there is none yet"
