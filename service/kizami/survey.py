"""The survey: where the pointers in a store differ from the catalogue. Conversations, as those of the protocol are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kizami import layout
from kizami.commit import Head
from kizami.conversation import ListKeys, Remove, Steps
from kizami.pointer import Pointer
from kizami.protocol import Place, read_pointer
from kizami.stores.base import ConditionFailedError


@dataclass(frozen=True, slots=True)
class Survey:
    """How ``dates/`` differs from the catalogue."""

    strays: tuple[tuple[str, str], ...]
    """Key and etag of pointers that should not be there: their date shows nothing, by the catalogue; or they are of
    another major version, and what they name is not shown in it."""
    unknown: tuple[Pointer, ...]
    """Pointers to snapshots of which the catalogue knows nothing."""
    latest: Pointer | None
    """``latest.json``; None before the first publication."""
    commits: int = 0
    """The largest number of a commit among the pointers that were read."""


def survey(place: Place, head: Head, *, all_dates: bool = False) -> Steps[Survey]:
    """Look through ``dates/`` and ``latest.json``: two requests a major version where all is as it should be.

    A stray is what a process left that stopped for longer than its lock lasted and then went on to finish a commit
    whose date was taken back meanwhile. Unknown is what was published before there were catalogues. A pointer of a
    later commit than the head's is neither: then it is the head that is out of date. Its holder has lost the lock, or
    it was restored from a backup; with ``all_dates`` what such a head cannot know is looked for among all dates.
    """
    strays: list[tuple[str, str]] = []
    unknown: list[Pointer] = []
    catalogue = head.catalogue
    expected = {place.date_key(date) for date in catalogue.shown()}
    commits = 0
    for key in (yield from _date_keys(place)):
        read = (yield from read_pointer(key)) if all_dates or key not in expected else None
        commits = max(commits, read[0].commit if read else 0)
        if read is None or read[0].commit > head.commits:
            continue
        if not catalogue.knows(read[0].snapshot):
            unknown.append(read[0])
        elif key not in expected:
            strays.append((key, read[1]))
    found = yield from read_pointer(place.latest_key)
    latest = found[0] if found else None
    commits = max(commits, latest.commit if latest else 0)
    if latest and latest.commit <= head.commits and not catalogue.knows(latest.snapshot):
        unknown.append(latest)
    for schema in catalogue.others:
        strays += yield from _strays(replace(place, schema=schema), head)
    return Survey(tuple(strays), tuple(unknown), latest, commits)


def _strays(other: Place, head: Head) -> Steps[list[tuple[str, str]]]:
    """Pointers of another major version that should not be there, ``latest.json`` among them."""
    shown = head.catalogue.shown_in(other.schema)
    snapshots = {pointer.snapshot for pointer in shown.values()}
    keys = yield from _date_keys(other)
    suspects = [key for key in keys if key not in {other.date_key(date) for date in shown}]
    strays = []
    for key in (*suspects, other.latest_key):
        read = yield from read_pointer(key)
        is_latest = key == other.latest_key
        if read and read[0].commit <= head.commits and not (is_latest and read[0].snapshot in snapshots):
            strays.append((key, read[1]))
    return strays


def _date_keys(place: Place) -> Steps[list[str]]:
    """Keys of pointers to business dates. What else somebody's tool put beside them, a folder's marker perhaps, is left
    alone."""
    prefix = layout.dates_prefix(place.corpus, place.schema)
    keys: list[str] = yield ListKeys(prefix)
    names = ((key, key.removeprefix(prefix)) for key in keys)
    return [key for key, name in names if name.endswith(".json") and layout.is_date(name.removesuffix(".json"))]


def tidy(strays: Iterable[tuple[str, str]]) -> Steps[None]:
    """Remove stray pointers, each unless it has changed since. Raises UnavailableError."""
    for key, etag in strays:
        try:
            yield Remove(key, etag)
        except ConditionFailedError:
            continue  # gone, or written anew
