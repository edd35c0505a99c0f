"""The lock and the commits of a corpus as plain values: which state follows which event. No store, no clock.

``head.json`` holds one :class:`Head`; everything that happens to it is one of the functions here, applied by
compare-and-swap (:mod:`kizami.protocol`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from kizami.catalogue import NOTHING_YET, Catalogue
from kizami.json_form import decode, encode
from kizami.pointer import Pointer


@dataclass(frozen=True, slots=True)
class LockTiming:
    """How often a holder shows that it lives, and when others may take its place."""

    beat_seconds: float = 15.0
    expiry_seconds: float = 90.0

    def __post_init__(self) -> None:
        if not 0 < self.beat_seconds * 4 <= self.expiry_seconds:
            raise ValueError(
                f"a lock that is beaten every {self.beat_seconds:g} s cannot expire after {self.expiry_seconds:g} s: "
                "leave it at least four beats"
            )

    @property
    def silence_seconds(self) -> float:
        """How long a holder may fail to beat before it stops itself: 60 of 90 s, the rest for slow answers."""
        return self.expiry_seconds * 2 / 3


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lock. Its timing travels with it: a newcomer judges a holder by the holder's numbers."""

    run: str
    verb: str
    corpus: str
    date: str
    """Business date, ISO 8601."""
    host: str
    pid: int
    taken_at: str
    """ISO 8601, by the holder's clock: for people only."""
    beat: int = 0
    beat_seconds: float = LockTiming().beat_seconds
    expiry_seconds: float = LockTiming().expiry_seconds

    def __post_init__(self) -> None:
        LockTiming(self.beat_seconds, self.expiry_seconds)

    @property
    def timing(self) -> LockTiming:
        """The timing as one value."""
        return LockTiming(self.beat_seconds, self.expiry_seconds)

    def is_same(self, other: Holder | None) -> bool:
        """Whether both are one process's one lock, however often it has beaten. The run's id alone would not do: a
        scheduler may start the same run twice."""
        return other is not None and replace(self, beat=0) == replace(other, beat=0)


@dataclass(frozen=True, slots=True)
class Move:
    """Another date's pointer that a rollback or a take-down moves."""

    date: str
    pointer: Pointer | None
    """What it names from now on; None: the date has no pointer any more."""


@dataclass(frozen=True, slots=True)
class Edition:
    """What a commit does to the pointers of another major version of the schema."""

    schema: int
    latest: Pointer | None
    """What its ``latest.json`` names from now on; None: it has none any more."""
    moves: tuple[Move, ...]
    """What becomes of its dates' pointers, that of the commit's own date included."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A publication, written into ``head.json`` with all it takes to finish it."""

    n: int
    date: str
    snapshot: str
    run: str
    pointer: Pointer
    settled: bool = False
    """Whether all pointers are known to be written.

    Without it, whoever takes the lock later would bring back the pointer of a date that retention has removed since.
    """
    rollback: bool = False
    """Whether ``latest`` may move to an earlier date by it, and whether what it names may have been published before: a
    rollback or a take-down."""
    moves: tuple[Move, ...] = ()
    """What a rollback or a take-down does to the pointers of other dates."""
    editions: tuple[Edition, ...] = ()
    """What it does in other major versions of the schema, where the snapshot has the same name."""


@dataclass(frozen=True, slots=True)
class Head:
    """The one object that decides: who is running, and the last commit."""

    turn: int
    """Grows by one with every version. S3's etags are hashes of the content: two versions must never be equal, or a
    request that arrives late would find its condition true again."""
    holder: Holder | None = None
    commit: Commit | None = None
    catalogue: Catalogue = NOTHING_YET
    """What was published so far, the last commit included."""
    outrun: int = 0
    """The largest number of a commit that a pointer was found to have, where it is one that this head knows nothing of:
    ``head.json`` was lost, or restored from a backup."""

    @property
    def commits(self) -> int:
        """Number of commits made so far."""
        return max(self.commit.n if self.commit else 0, self.outrun)

    @property
    def unfinished(self) -> Commit | None:
        """The last commit, if its pointers may be missing."""
        return self.commit if self.commit and not self.commit.settled else None

    def encode(self) -> bytes:
        """The content of ``head.json``."""
        return encode(self)


def decode_head(body: bytes, key: str) -> Head:
    """``head.json`` as a value. Raises DataError naming the key."""
    return decode(Head, body, key)


def taken(head: Head | None, holder: Holder) -> Head:
    """The lock, free or expired, goes to ``holder``. The last commit stays."""
    if head is None:
        return Head(1, holder)
    return replace(head, turn=head.turn + 1, holder=holder)


def beaten(head: Head) -> Head:
    """The holder shows that it lives."""
    return replace(head, turn=head.turn + 1, holder=_beaten(head))


def committed(head: Head, pointer: Pointer, others: Collection[int] = ()) -> Head:
    """The holder publishes: from here on the commit is made, whatever becomes of the holder.

    ``others`` are the other major versions that the snapshot is published in.
    """
    holder, n = _next_commit(head)
    numbered = replace(pointer, commit=n)
    catalogue = head.catalogue.with_published(numbered, others)
    editions = _editions(head.catalogue, catalogue, n)
    commit = Commit(n, pointer.date, pointer.snapshot, holder.run, numbered, editions=editions)
    return Head(head.turn + 1, holder, commit, catalogue)


def rolled_back(head: Head, snapshot: str) -> Head:
    """The holder makes ``latest`` name an earlier snapshot, or one that was withdrawn, and withdraws what is newer.

    Raises ValueError for one that is not in the catalogue.
    """
    catalogue = head.catalogue.with_rolled_back(snapshot)
    target = next(each.pointer for each in catalogue.shown().values() if each.snapshot == snapshot)
    return _moved(head, catalogue, target)


def taken_down(head: Head, latest: Pointer, copies: Mapping[str, Pointer]) -> Head:
    """The holder puts copies, by the snapshot each was made of, in the place of what was published.

    ``latest`` is what ``latest.json`` names now: it names that copy afterwards, or the same snapshot again.
    """
    return _moved(head, head.catalogue.with_copies(copies), copies.get(latest.snapshot, latest))


def _moved(head: Head, catalogue: Catalogue, target: Pointer) -> Head:
    """The holder makes ``latest`` name ``target``, and the dates what they show by ``catalogue``."""
    holder, n = _next_commit(head)
    before, after = head.catalogue.shown(), catalogue.shown()
    moves = tuple(
        Move(date, replace(after[date].pointer, commit=n) if date in after else None)
        for date in sorted({*before, *after} - {target.date})
        if before.get(date) != after.get(date)
    )
    numbered = replace(target, commit=n)
    editions = _editions(head.catalogue, catalogue, n)
    commit = Commit(
        n, target.date, target.snapshot, holder.run, numbered, rollback=True, moves=moves, editions=editions
    )
    return Head(head.turn + 1, holder, commit, catalogue)


def _editions(before: Catalogue, after: Catalogue, n: int) -> tuple[Edition, ...]:
    """What commit ``n`` changes in other major versions; those in which it changes nothing are left out."""
    editions = []
    for schema in after.others:
        old, new = before.shown_in(schema), after.shown_in(schema)
        numbered = {date: replace(pointer, commit=n) for date, pointer in new.items()}
        moves = tuple(Move(date, numbered.get(date)) for date in sorted({*old, *new}) if old.get(date) != new.get(date))
        if moves:
            editions.append(Edition(schema, numbered[max(numbered)] if numbered else None, moves))
    return tuple(editions)


def recorded(head: Head, catalogue: Catalogue) -> Head:
    """The holder changes the catalogue without a commit: what is retired, doomed, gone or adopted."""
    return replace(head, turn=head.turn + 1, holder=_beaten(head), catalogue=catalogue)


def caught_up(head: Head, commits: int) -> Head:
    """The holder has found pointers of so many commits: its next one has to be larger than all of them, or no pointer
    would follow it."""
    if head.commits >= commits:
        return head
    return replace(head, turn=head.turn + 1, holder=_beaten(head), outrun=commits)


def settled(head: Head) -> Head:
    """All pointers of the last commit are written."""
    if head.commit is None:
        raise ValueError("there is no commit to settle")
    return replace(head, turn=head.turn + 1, holder=_beaten(head), commit=replace(head.commit, settled=True))


def released(head: Head) -> Head:
    """The holder gives the lock back."""
    return replace(head, turn=head.turn + 1, holder=None)


def _next_commit(head: Head) -> tuple[Holder, int]:
    if head.unfinished:
        raise ValueError(f"commit {head.commits} has to be finished before the next")
    return _beaten(head), head.commits + 1


def _beaten(head: Head) -> Holder:
    if head.holder is None:
        raise ValueError("nobody holds the lock")
    return replace(head.holder, beat=head.holder.beat + 1)


class Standing(Enum):
    """What a newcomer makes of a lock."""

    FREE = "free"
    HELD = "held"
    """The holder lives: give up."""
    SILENT = "silent"
    """Two beats are missing: wait for the next one or the expiry."""
    EXPIRED = "expired"
    """The holder counts as dead: take its place."""


def standing(head: Head | None, age_seconds: float) -> Standing:
    """What to make of a lock whose ``head.json`` was written ``age_seconds`` ago by the store's clock."""
    if head is None or head.holder is None:
        return Standing.FREE
    if age_seconds >= head.holder.expiry_seconds:
        return Standing.EXPIRED
    return Standing.SILENT if age_seconds >= 2 * head.holder.beat_seconds else Standing.HELD


class Fate(Enum):
    """What became of a commit whose answer was lost or whose condition failed."""

    WON = "won"
    """It is in the chain."""
    OPEN = "open"
    """Not in the chain yet, and the lock is still ours: send it again."""
    LOST = "lost"
    """Not in the chain, and it never will be."""
    UNKNOWN = "unknown"
    """Somebody else has committed since: only the date's pointer can tell (:func:`fate_by_pointer`)."""


def fate(wanted: Head, found: Head) -> Fate:
    """What became of the commit in ``wanted``, now that ``head.json`` reads ``found``."""
    if wanted.commit is None or wanted.holder is None:
        raise ValueError("there is no commit to ask after")
    if found.commit and (found.commit.run, found.commit.snapshot) == (wanted.commit.run, wanted.commit.snapshot):
        return Fate.WON
    if found.commits > wanted.commits:
        return Fate.UNKNOWN
    # Once head.json has another holder our request cannot succeed any more: its condition names an old version.
    return Fate.OPEN if wanted.holder.is_same(found.holder) else Fate.LOST


def fate_by_pointer(wanted: Commit, found: Pointer | None) -> Fate:
    """The same by the date's pointer, when later commits hide ours: each was finished before the next was made."""
    if found is None or found.commit > wanted.n:
        return Fate.UNKNOWN
    if found.commit < wanted.n or found.snapshot != wanted.snapshot:
        return Fate.LOST
    # Two may have gone back to the same snapshot at the same time; a new one is its maker's alone.
    return Fate.UNKNOWN if wanted.rollback else Fate.WON


def date_follows(commit: Commit, found: Pointer | None) -> bool:
    """Whether ``dates/D.json`` is to be written or removed: only over a smaller commit."""
    return found is None or found.commit < commit.n


def latest_follows(commit: Commit, found: Pointer | None) -> bool:
    """Whether ``latest.json`` is to be written: over a smaller commit, and never to an earlier date but by rollback."""
    return found is None or (found.commit < commit.n and (commit.rollback or found.date <= commit.date))
