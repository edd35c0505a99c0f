"""The lock and the commit of a corpus: which requests go to the store, and what each answer means.

Every function here is a conversation (:mod:`kizami.conversation`): it holds no store, and takes each decision by the
pure functions of :mod:`kizami.commit`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from kizami import layout
from kizami.catalogue import Catalogue
from kizami.commit import (
    Commit,
    Fate,
    Head,
    Holder,
    Standing,
    beaten,
    caught_up,
    committed,
    date_follows,
    decode_head,
    fate,
    fate_by_pointer,
    latest_follows,
    recorded,
    released,
    rolled_back,
    settled,
    standing,
    taken,
    taken_down,
)
from kizami.conversation import Create, Get, Operation, Remove, Replace, Steps, Wait
from kizami.errors import (
    CommitStateUnknownError,
    DataError,
    KizamiError,
    LockHeldError,
    LockLostError,
    UnavailableError,
)
from kizami.json_form import encode
from kizami.pointer import Pointer, decode_pointer
from kizami.stores.base import (
    ConditionFailedError,
    ObjectMissingError,
    OutcomeUnknownError,
    StoredObject,
)

_ATTEMPTS: Final = 5
"""How often to write anew after an answer was lost; the store has its own retries below this."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose lock: a corpus under a major version of the schema, whose commits are those of all other versions too."""

    corpus: str
    schema: int = 1

    @property
    def head_key(self) -> str:
        """Key of the lock."""
        return layout.head_key(self.corpus, self.schema)

    @property
    def latest_key(self) -> str:
        """Key of the pointer to the newest snapshot."""
        return layout.latest_key(self.corpus, self.schema)

    def date_key(self, date: str) -> str:
        """Key of a business date's pointer."""
        return layout.date_key(self.corpus, date, self.schema)


@dataclass(frozen=True, slots=True)
class Hold:
    """``head.json`` as its holder last wrote it or found it."""

    head: Head
    etag: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A lock just taken."""

    hold: Hold
    dead: Holder | None
    """The holder whose place was taken because it had expired."""


class _DisplacedError(Exception):
    """``head.json`` has another holder."""

    def __init__(self, wanted: Head, found: Head) -> None:
        super().__init__(found)
        self.wanted = wanted
        self.found = found


def take(place: Place, holder: Holder) -> Steps[Taken]:
    """Take the lock, at once where it is free or expired, after some waiting where its holder fell silent.

    Raises LockHeldError, also if a rival was faster or the silent holder beat again.
    """
    dead: Holder | None = None
    failures = 0
    while True:
        found = yield from _read_head(place)
        if found is None:
            wanted = taken(None, holder)
            write: Operation = Create(place.head_key, wanted.encode())
        else:
            hold, age = found
            other = hold.head.holder
            if holder.is_same(other):  # our own write, its answer lost
                return Taken(hold, dead)
            match standing(hold.head, age):
                case Standing.HELD if other:
                    raise LockHeldError(_held_message(other, age))
                case Standing.SILENT if other:
                    remaining = other.expiry_seconds - age
                    yield Wait(max(0.05, min(other.beat_seconds, remaining)))
                    continue
            wanted, dead = taken(hold.head, holder), other
            write = Replace(place.head_key, wanted.encode(), hold.etag)
        try:
            etag = yield write
        except (ConditionFailedError, OutcomeUnknownError) as error:
            failures += 1
            if failures == _ATTEMPTS:
                raise UnavailableError(
                    f"{place.head_key} can be read but not written: see to the store, then try again"
                ) from error
            continue
        return Taken(Hold(wanted, etag), dead)


def beat(place: Place, hold: Hold) -> Steps[Hold]:
    """Show that the holder lives. Raises LockLostError; UnavailableError leaves open whether it was written."""
    try:
        return (yield from _amend(place, hold, beaten))
    except _DisplacedError as displaced:
        raise _lost(place, displaced.found) from None


def publish(place: Place, hold: Hold, pointer: Pointer, others: Collection[int] = ()) -> Steps[Hold]:
    """Make the commit: from the moment this has swapped ``head.json``, the snapshot is published, also in ``others``.

    The pointers are not written yet (:func:`finish`). The Hold returned may have another holder already, if the answer
    was lost and somebody took over since; the commit is made all the same. Raises LockLostError if it is certain that
    the commit was not made and never will be, CommitStateUnknownError if it may have been; another error of the store
    means that it was not.
    """
    return (yield from _commit(place, hold, pointer.snapshot, lambda head: committed(head, pointer, others)))


def roll_back(place: Place, hold: Hold, snapshot: str) -> Steps[Hold]:
    """Make the commit by which ``latest`` names an earlier snapshot and newer ones are withdrawn.

    As :func:`publish` in everything else. Raises ValueError for a snapshot that is not in the catalogue.
    """
    return (yield from _commit(place, hold, snapshot, lambda head: rolled_back(head, snapshot)))


def take_down(place: Place, hold: Hold, latest: Pointer, copies: Mapping[str, Pointer]) -> Steps[Hold]:
    """Make the commit that puts copies, by the snapshot each was made of, in the place of what was published.

    As :func:`publish` in everything else.
    """
    snapshot = copies.get(latest.snapshot, latest).snapshot
    return (yield from _commit(place, hold, snapshot, lambda head: taken_down(head, latest, copies)))


def _commit(place: Place, hold: Hold, snapshot: str, make: Callable[[Head], Head]) -> Steps[Hold]:
    before = hold.head.commits

    def change(head: Head) -> Head:
        return head if _is_ours(head, hold, snapshot) else make(head)

    try:
        return (yield from _amend(place, hold, change))
    except _DisplacedError as displaced:
        wanted, found = displaced.wanted, displaced.found
    except OutcomeUnknownError as error:
        raise CommitStateUnknownError(
            f"the answer to commit {before + 1} of {place.corpus} ({snapshot}) was lost ({error}): "
            "the next run finds out and finishes it"
        ) from error
    verdict = fate(wanted, found)
    if verdict is Fate.UNKNOWN and wanted.commit:
        verdict = yield from _fate_by_pointer(place, wanted.commit)
    if verdict is Fate.LOST:
        raise _lost(place, found)
    if verdict is Fate.WON:
        return Hold(found, "")
    raise CommitStateUnknownError(
        f"others have committed to {place.corpus} since commit {before + 1} ({snapshot}) was sent: "
        f"see `kizami history {place.corpus}`, and start the run again if it is not there"
    )


def finish(place: Place, commit: Commit) -> Steps[None]:
    """Write all pointers of a commit unless they say so already. Whoever holds the lock may, any number of times."""
    try:
        yield from _point(place.date_key(commit.date), commit, commit.pointer, date_follows)
        yield from _point(place.latest_key, commit, commit.pointer, latest_follows)
        for move in commit.moves:
            yield from _point(place.date_key(move.date), commit, move.pointer, date_follows)
        for edition in commit.editions:
            other = replace(place, schema=edition.schema)
            for move in edition.moves:
                yield from _point(other.date_key(move.date), commit, move.pointer, date_follows)
            yield from _point(other.latest_key, commit, edition.latest, date_follows)
    except KizamiError as error:
        raise CommitStateUnknownError(
            f"commit {commit.n} of {place.corpus} ({commit.snapshot}) is made, but readers may not see it yet "
            f"({error}): the next run finishes it"
        ) from error


def settle(place: Place, hold: Hold) -> Steps[Hold]:
    """Record that all pointers are written. Raises LockLostError; who took over finishes it again."""
    try:
        return (yield from _amend(place, hold, settled))
    except _DisplacedError as displaced:
        raise _lost(place, displaced.found) from None


def record(place: Place, hold: Hold, change: Callable[[Catalogue], Catalogue]) -> Steps[Hold]:
    """Change the catalogue. ``change`` is applied to whatever catalogue is found, and may be applied to its own result.

    Raises LockLostError; UnavailableError leaves open whether it was written.
    """

    def amended(head: Head) -> Head:
        catalogue = change(head.catalogue)
        return head if catalogue == head.catalogue else recorded(head, catalogue)

    try:
        return (yield from _amend(place, hold, amended))
    except _DisplacedError as displaced:
        raise _lost(place, displaced.found) from None


def catch_up(place: Place, hold: Hold, commits: int) -> Steps[Hold]:
    """Go on counting from the commits that pointers were found to have. Raises LockLostError where it is another holder
    who made them; UnavailableError leaves open whether it was written."""
    try:
        return (yield from _amend(place, hold, lambda head: caught_up(head, commits)))
    except _DisplacedError as displaced:
        raise _lost(place, displaced.found) from None


def release(place: Place, hold: Hold) -> Steps[None]:
    """Give the lock back; no error if somebody else has it already."""
    try:
        yield from _amend(place, hold, released)
    except _DisplacedError:
        return


def _amend(place: Place, hold: Hold, change: Callable[[Head], Head]) -> Steps[Hold]:
    """Swap ``head.json`` for what ``change`` makes of it; after a lost answer read it back, swap again if need be."""
    doubt: Exception | None = None
    for _ in range(_ATTEMPTS):
        wanted = change(hold.head)
        if wanted == hold.head:  # found there, written by an attempt whose answer was lost
            return hold
        try:
            etag = yield Replace(place.head_key, wanted.encode(), hold.etag)
        except (OutcomeUnknownError, ConditionFailedError) as error:
            doubt = error
        except KizamiError as error:
            if doubt is None:  # nothing was written, for certain
                raise
            raise OutcomeUnknownError(str(error)) from error
        else:
            return Hold(wanted, etag)
        try:
            read = yield from _read_head(place)
        except KizamiError as error:
            raise OutcomeUnknownError(str(error)) from error
        if read is None:
            raise OutcomeUnknownError(f"{place.head_key} is gone, though nothing ever deletes it: restore it")
        found, _age = read
        if found.head == wanted:
            return found
        if not (hold.head.holder and hold.head.holder.is_same(found.head.holder)):
            raise _DisplacedError(wanted, found.head)
        hold = found  # ours still: an earlier write whose answer was lost has arrived
    raise OutcomeUnknownError(f"{place.head_key} can be read but not written: see to the store") from doubt


def _is_ours(head: Head, hold: Hold, snapshot: str) -> bool:
    run = hold.head.holder.run if hold.head.holder else None
    return head.commit is not None and (head.commit.run, head.commit.snapshot) == (run, snapshot)


def _point(
    key: str, commit: Commit, pointer: Pointer | None, follows: Callable[[Commit, Pointer | None], bool]
) -> Steps[None]:
    lost: OutcomeUnknownError | None = None
    for _ in range(_ATTEMPTS):
        read = yield from _read_damaged(key)
        if not follows(commit, read[0] if read else None):
            return
        if pointer is None and read is None:
            return
        try:
            if read is None:
                yield Create(key, encode(pointer))
            else:
                yield Replace(key, encode(pointer), read[1]) if pointer else Remove(key, read[1])
        except OutcomeUnknownError as error:
            lost = error
        except ConditionFailedError:
            pass
        else:
            return
    raise lost or UnavailableError(f"{key} changes faster than it can be written: end what else writes it")


def _fate_by_pointer(place: Place, commit: Commit) -> Steps[Fate]:
    try:
        read = yield from read_pointer(place.date_key(commit.date))
    except KizamiError:
        return Fate.UNKNOWN
    return fate_by_pointer(commit, read[0] if read else None)


def _read_head(place: Place) -> Steps[tuple[Hold, float] | None]:
    try:
        stored: StoredObject = yield Get(place.head_key)
    except ObjectMissingError:
        return None
    return Hold(decode_head(stored.body, place.head_key), stored.etag), stored.age_seconds


def _read_damaged(key: str) -> Steps[tuple[Pointer | None, str] | None]:
    """As ``read_pointer``, but None in the place of a pointer that is damaged: the commit says what belongs there."""
    stored = yield from _stored(key)
    if stored is None:
        return None
    try:
        return decode_pointer(stored.body, key), stored.etag
    except DataError:
        return None, stored.etag


def read_pointer(key: str) -> Steps[tuple[Pointer, str] | None]:
    """A pointer and its etag; None where there is none."""
    stored = yield from _stored(key)
    return None if stored is None else (decode_pointer(stored.body, key), stored.etag)


def _stored(key: str) -> Steps[StoredObject | None]:
    try:
        stored: StoredObject = yield Get(key)
    except ObjectMissingError:
        return None
    return stored


def _held_message(holder: Holder, age_seconds: float) -> str:
    return (
        f"{holder.corpus} is locked by {holder.verb} run {holder.run} on {holder.host} (pid {holder.pid}) since "
        f"{holder.taken_at}, last heard of {age_seconds:.0f} s ago: wait for it to end, or end it"
    )


def _lost(place: Place, found: Head) -> LockLostError:
    holder = found.holder
    who = f"run {holder.run} on {holder.host} has it" if holder else "another run took it and gave it back"
    return LockLostError(
        f"this run lost the lock of {place.corpus} ({who}): nothing was published; start it again if need be"
    )
