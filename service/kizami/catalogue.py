"""The catalogue of a corpus: what was published, and what became of it. Plain values; no store, no clock.

It stands in ``head.json`` and changes by the same compare-and-swap as commits do. ``dates/`` is drawn from it: the
pointer of a business date names the newest published revision of that date.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from kizami.pointer import Pointer


class State(StrEnum):
    """What became of a published snapshot."""

    PUBLISHED = "published"
    """Its date's pointer names it, unless a later revision of the date is published too."""
    WITHDRAWN = "withdrawn"
    """Taken back by a rollback."""
    RETIRED = "retired"
    """Taken back by retention, with its date."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A snapshot that was published at some time and whose folder is still there."""

    pointer: Pointer
    """That of the first version of the schema."""
    state: State = State.PUBLISHED
    others: tuple[int, ...] = ()
    """The other major versions of the schema that it was published in, under the same name."""

    @property
    def snapshot(self) -> str:
        """Its name."""
        return self.pointer.snapshot

    @property
    def date(self) -> str:
        """Its business date."""
        return self.pointer.date

    def is_newer_than(self, other: Pointer) -> bool:
        """Whether going back to ``other`` takes this one back: published after it, or of a later date."""
        return self.pointer.commit > other.commit or self.date > other.date


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All publications, and what is being deleted."""

    publications: tuple[Publication, ...] = ()
    """In the order in which they were first published."""
    doomed: tuple[str, ...] = ()
    """Snapshots whose objects are being deleted, from before the first is touched until none is left: nobody may point
    to one again. Sorted."""
    others: tuple[int, ...] = ()
    """The other major versions of the schema that anything was ever published in; ascending."""

    def find(self, snapshot: str) -> Publication | None:
        """The publication of a snapshot."""
        return next((each for each in self.publications if each.snapshot == snapshot), None)

    def shown(self) -> dict[str, Publication]:
        """What each business date's pointer names, by date; dates that have none are left out."""
        newest: dict[str, Publication] = {}
        for each in self.publications:
            if each.state is State.PUBLISHED:
                newest[each.date] = each
        return dict(sorted(newest.items()))

    def shown_in(self, schema: int) -> dict[str, Pointer]:
        """The same in another major version: of what the dates show, what was published in it too.

        The last of these is what its ``latest.json`` names; where there is none, it has none.
        """
        return {date: each.pointer.in_schema(schema) for date, each in self.shown().items() if schema in each.others}

    def nearest_before(self, date: str) -> Publication | None:
        """What the nearest earlier business date shows."""
        return max(
            (each for each in self.shown().values() if each.date < date), key=lambda each: each.date, default=None
        )

    def with_published(self, pointer: Pointer, others: Collection[int] = ()) -> Catalogue:
        """After the commit that publishes ``pointer``, whose number it has, and the same snapshot in other versions.

        Raises ValueError for a doomed snapshot.
        """
        if pointer.snapshot in self.doomed:
            raise ValueError(f"{pointer.snapshot} is being deleted")
        rest = (each for each in self.publications if each.snapshot != pointer.snapshot)
        published = Publication(pointer, others=tuple(sorted(others)))
        return replace(
            self,
            publications=_in_order([*rest, published]),
            others=tuple(sorted({*self.others, *others})),
        )

    def with_adopted(self, pointers: Iterable[Pointer]) -> Catalogue:
        """After pointers were found to snapshots of which nothing is known here."""
        # By name: the newest is named by its date and by latest.json.
        new = {each.snapshot: Publication(each) for each in pointers if not self.knows(each.snapshot)}
        return replace(self, publications=_in_order([*self.publications, *new.values()]))

    def knows(self, snapshot: str) -> bool:
        """Whether anything is told of a snapshot here."""
        return snapshot in self.doomed or self.find(snapshot) is not None

    def with_rolled_back(self, snapshot: str) -> Catalogue:
        """After a rollback to a snapshot: it is published (again), and everything newer withdrawn.

        What an earlier rollback withdrew stays withdrawn. Raises ValueError for a snapshot that is not in it.
        """
        target = self.find(snapshot)
        if target is None:
            raise ValueError(f"{snapshot} is no publication")

        def changed(each: Publication) -> Publication:
            if each == target:
                return replace(each, state=State.PUBLISHED)
            taken_back = each.state is State.PUBLISHED and each.is_newer_than(target.pointer)
            return replace(each, state=State.WITHDRAWN) if taken_back else each

        return replace(self, publications=tuple(map(changed, self.publications)))

    def with_retired(self, dates: Collection[str]) -> Catalogue:
        """After retention has taken dates back, all their revisions with them."""

        def changed(each: Publication) -> Publication:
            retired = each.date in dates and each.state is State.PUBLISHED
            return replace(each, state=State.RETIRED) if retired else each

        return replace(self, publications=tuple(map(changed, self.publications)))

    def with_copies(self, copies: Mapping[str, Pointer]) -> Catalogue:
        """After the commit that puts copies, by the snapshot each was made of, in the place of what was published.

        A copy keeps the state and the place in the order of its original, which is doomed.
        """

        def changed(each: Publication) -> Publication:
            copy = copies.get(each.snapshot)
            return replace(each, pointer=replace(copy, commit=each.pointer.commit)) if copy else each

        return replace(
            self,
            publications=tuple(map(changed, self.publications)),
            doomed=tuple(sorted({*self.doomed, *copies})),
        )

    def with_doomed(self, snapshots: Collection[str]) -> Catalogue:
        """Before snapshots are deleted, published at some time or never. Raises ValueError if a date shows one."""
        if shown := {each.snapshot for each in self.shown().values()} & set(snapshots):
            raise ValueError(f"{min(shown)} is shown to readers")
        kept = tuple(each for each in self.publications if each.snapshot not in snapshots)
        return replace(self, publications=kept, doomed=tuple(sorted({*self.doomed, *snapshots})))

    def without(self, gone: Collection[str]) -> Catalogue:
        """After nothing is left of doomed snapshots."""
        return replace(self, doomed=tuple(each for each in self.doomed if each not in gone))


NOTHING_YET: Final = Catalogue()


def _in_order(publications: Iterable[Publication]) -> tuple[Publication, ...]:
    return tuple(sorted(publications, key=lambda each: each.pointer.commit))
