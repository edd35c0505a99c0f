"""What is deleted and when, decided from listings: tables, and any shelf that hypothesis thinks of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kizami import layout
from kizami.catalogue import Catalogue
from kizami.retention import Plan, Reason, Terms, Tombstone, plan_gc, plan_quarantine
from kizami.stores import ObjectInfo
from support.publishing import CORPUS, pointer

HOUR, DAY = 3600.0, 86400.0
TERMS = Terms(dates=2)


def info(key: str, age: float = 0.0) -> ObjectInfo:
    """A line of a listing."""
    return ObjectInfo(key, 10, age)


def snapshot(name: str, age: float = 0.0, *, manifest: bool = True, tombstone: float | None = None) -> list[ObjectInfo]:
    """What a listing has of a snapshot of two parts."""
    lines = [info(layout.part_key(CORPUS, name, number), age) for number in range(2)]
    if manifest:
        lines.append(info(layout.manifest_key(CORPUS, name), age))
    if tombstone is not None:
        lines.append(info(layout.tombstone_key(CORPUS, name), tombstone))
    return lines


def catalogue(*published: tuple[str, str]) -> Catalogue:
    """After commits 1, 2, … of (snapshot, day of November)."""
    made = Catalogue()
    for number, (name, day) in enumerate(published, 1):
        made = made.with_published(pointer(name, date=f"2026-11-{day}", commit=number))
    return made


def plan(
    made: Catalogue, *listing: ObjectInfo, latest: str | None = None, terms: Terms = TERMS, dates: Iterable[str] = ()
) -> Plan:
    """The plan for a listing that has these dates' pointers."""
    pointers = [info(layout.date_key(CORPUS, f"2026-11-{day}")) for day in dates]
    return plan_gc([*pointers, *listing], made, latest, CORPUS, terms)


def keys(infos: Iterable[ObjectInfo]) -> list[str]:
    """Keys below the corpus."""
    return [each.key.removeprefix(layout.corpus_prefix(CORPUS)) for each in infos]


THREE = catalogue(("a", "21"), ("b", "22"), ("c", "23"))


def test_a_date_past_retention_loses_its_pointer_and_gets_a_tombstone() -> None:
    """Its folder stays for now."""
    made = plan(THREE, *snapshot("a"), *snapshot("b"), *snapshot("c"), latest="c", dates=("21", "22", "23"))
    assert made == Plan(
        retired=("2026-11-21",),
        pointers=(layout.date_key(CORPUS, "2026-11-21"),),
        tombstones=(Tombstone("a", "2026-11-21", Reason.RETIRED),),
    )
    assert list(made.applied(THREE).shown()) == ["2026-11-22", "2026-11-23"]


@pytest.mark.parametrize(("age", "deleted"), [(0.0, False), (DAY - 1, False), (DAY, True), (9 * DAY, True)])
def test_the_folder_goes_24_hours_after_its_tombstone(age: float, deleted: bool) -> None:
    """By the tombstone's age alone, however old the parts are."""
    retired = THREE.with_retired(["2026-11-21"])
    lines = [*snapshot("a", 90 * DAY, tombstone=age), *snapshot("b"), *snapshot("c")]
    made = plan(retired, *lines, latest="c", dates=("22", "23"))
    expected = Plan(doomed=("a",), manifests=(lines[2],), objects=tuple(lines[:2]), graves=(lines[3],))
    assert made == (expected if deleted else Plan())


def test_superseded_and_withdrawn_snapshots_wait_as_long() -> None:
    """A tombstone each, with the reason; 24 hours later they go."""
    both = catalogue(("b", "22"), ("c", "23"), ("c2", "23"), ("d", "24")).with_rolled_back("c2")
    others = [*snapshot("b"), *snapshot("c2")]
    made = plan(both, *snapshot("c"), *snapshot("d"), *others, latest="c2", dates=("22", "23"))
    assert made.tombstones == (
        Tombstone("c", "2026-11-23", Reason.SUPERSEDED),
        Tombstone("d", "2026-11-24", Reason.WITHDRAWN),
    )
    old = [*snapshot("c", tombstone=DAY), *snapshot("d", tombstone=DAY - 1)]
    assert plan(both, *old, *others, latest="c2", dates=("22", "23")).doomed == ("c",)


def test_what_latest_names_stays() -> None:
    """Even if by its date it would go."""
    one = Terms(dates=1)
    assert plan(THREE, latest="a", terms=one).retired == ("2026-11-22",)
    assert plan(THREE, latest="c", terms=one).retired == ("2026-11-22", "2026-11-21")


def test_a_date_just_filled_in_is_spared() -> None:
    """A run does not take back what it has just published; the next one does."""
    spared = Terms(dates=2, spared=frozenset({"2026-11-21"}))
    assert plan(THREE, latest="c", terms=spared).retired == ()


def test_a_tombstone_on_what_is_shown_is_void() -> None:
    """It is removed before it can count."""
    lines = snapshot("c", tombstone=9 * DAY)
    made = plan(THREE, *lines, latest="c", terms=Terms(), dates=("21", "22", "23"))
    assert (made.graves, made.doomed, made.objects) == ((lines[3],), (), ())


@pytest.mark.parametrize(
    ("lines", "deleted"),
    [
        (snapshot("x", 7 * DAY - 1), False),
        (snapshot("x", 7 * DAY), True),
        (snapshot("x", DAY - 1, manifest=False), False),
        (snapshot("x", DAY, manifest=False), True),
        ([*snapshot("x", 3 * DAY, manifest=False)[:1], *snapshot("x", HOUR, manifest=False)[1:]], False),
    ],
    ids=["young candidate", "old candidate", "young fragment", "old fragment", "fragment with a young part"],
)
def test_what_was_never_published_waits_without_a_tombstone(lines: list[ObjectInfo], deleted: bool) -> None:
    """A candidate a week for somebody to look at it; parts without a manifest a day from the last one."""
    made = plan(Catalogue(), *lines)
    assert made.doomed == (("x",) if deleted else ())
    assert len(made.objects) + len(made.manifests) == (len(lines) if deleted else 0)


def test_a_deletion_that_was_interrupted_goes_on() -> None:
    """Doomed stays doomed until nothing is left in the listing, whatever the ages."""
    made = catalogue(("c", "23")).with_doomed(["a", "x"])
    lines = snapshot("a", 0.0)[1:2]
    found = plan(made, *lines, *snapshot("c"), latest="c", dates=("23",))
    assert found == Plan(gone=("x",), objects=tuple(lines))
    assert found.applied(made).doomed == ("a",)


def test_a_publication_of_which_nothing_is_left_is_forgotten() -> None:
    """Somebody has deleted it by hand; a tombstone alone goes too."""
    retired = THREE.with_retired(["2026-11-21"])
    stone = info(layout.tombstone_key(CORPUS, "y"), DAY)
    found = plan(retired, stone, *snapshot("b"), *snapshot("c"), latest="c", dates=("22", "23"))
    assert found.doomed == ("a", "y")
    assert found.graves == (stone,)


def test_staging_and_the_ledgers_oldest_entries_go() -> None:
    """Finished parts and submissions after three days, entries beyond the newest so many; other keys are nobody's
    business."""
    lines = [
        info(layout.submission_key(CORPUS, "old"), 3 * DAY),
        info(layout.submitted_words_key(CORPUS, "old"), 3 * DAY),
        info(layout.submission_key(CORPUS, "new"), 3 * DAY - 1),
        info(layout.staging_key(CORPUS, "old"), 3 * DAY),
        info(layout.staging_key(CORPUS, "new"), 3 * DAY - 1),
        *(info(layout.run_key(CORPUS, f"2026110{day}T000000Z"), 99 * DAY) for day in range(1, 6)),
        info(layout.latest_key(CORPUS), 99 * DAY),
        info(layout.head_key(CORPUS), 99 * DAY),
        info(f"{layout.corpus_prefix(CORPUS)}notes/of-somebody.txt", 999 * DAY),
        info(f"{layout.corpus_prefix(CORPUS)}snapshots/stray.txt", 999 * DAY),
    ]
    made = plan(Catalogue(), *lines, terms=Terms(runs=3))
    assert keys(made.objects) == [
        "staging/old.parquet",
        "submissions/old.json",
        "submissions/old.csv",
        "runs/20261102T000000Z.json",
        "runs/20261101T000000Z.json",
    ]


def test_quarantine_goes_with_its_snapshot_or_when_nobody_names_it() -> None:
    """That of a kept snapshot stays however old; of an unknown run it goes after 30 days, all manifests being known."""
    old = [info(name, 40 * DAY) for name in ("leaving", "kept", "failed")]
    young = [info("failed-today")]
    files = [*old, *young]
    assert plan_quarantine(files, {"leaving"}, {"kept"}, TERMS) == (old[0], old[2])
    assert plan_quarantine(files, {"leaving"}, None, TERMS) == (old[0],)
    assert plan_quarantine(files, {"kept"}, {"kept"}, TERMS) == (old[0], old[2])


@dataclass
class Shelf:
    """A catalogue and a listing of it with whatever may have become of both."""

    catalogue: Catalogue
    listing: list[ObjectInfo] = field(default_factory=list)
    latest: str | None = None


NAMES = ("a", "b", "c", "d", "e", "f")
AGES = st.sampled_from([0.0, HOUR, DAY - 1, DAY, 8 * DAY, 40 * DAY])


@st.composite
def shelves(draw: st.DrawFn) -> Shelf:
    """Any history of publications, rollbacks, retirements and interrupted deletions; any part of it in the listing."""
    made = Catalogue()
    latest: str | None = None
    for number, name in enumerate(draw(st.lists(st.sampled_from(NAMES[:4]), unique=True)), 1):
        made = made.with_published(pointer(name, date=f"2026-11-{draw(st.integers(20, 23))}", commit=number))
        latest = name
        if draw(st.booleans()):
            latest = draw(st.sampled_from(made.publications)).snapshot
            made = made.with_rolled_back(latest)
    shown = {each.snapshot for each in made.shown().values()}
    made = made.with_doomed(draw(st.sets(st.sampled_from(NAMES))) - shown)
    listing: list[ObjectInfo] = []
    for name in NAMES:
        stone = draw(st.none() | AGES)
        lines = snapshot(name, draw(AGES), tombstone=stone)
        listing += lines if name in shown else draw(st.lists(st.sampled_from(lines), unique=True))
    listing += [info(layout.date_key(CORPUS, f"2026-11-{day}")) for day in draw(st.sets(st.integers(20, 23)))]
    return Shelf(made, listing, latest if latest in shown else None)


@given(shelf=shelves(), dates=st.integers(1, 4))
def test_readers_come_before_order(shelf: Shelf, dates: int) -> None:
    """Nothing that a pointer names is touched; nothing that one named goes without a ripe tombstone; the plan can be
    applied; and carrying it out with all the time in the world leaves exactly what is shown."""
    terms = Terms(dates=dates)
    made = plan_gc(shelf.listing, shelf.catalogue, shelf.latest, CORPUS, terms)
    after = made.applied(shelf.catalogue)
    assert made.applied(after) == after
    shown = {each.snapshot for each in after.shown().values()}
    assert len(after.shown()) <= dates + 1
    assert shelf.latest is None or shelf.latest in shown
    deleted = {each.key for each in (*made.manifests, *made.objects)}
    ages = {each.key: each.age_seconds for each in shelf.listing}
    for name in NAMES:
        of_it = {key for key in deleted if f"/{name}/" in key or key.endswith(f"manifests/{name}.json")}
        if name in shown:
            assert not of_it
        elif of_it and name not in shelf.catalogue.doomed and shelf.catalogue.find(name):
            assert ages[layout.tombstone_key(CORPUS, name)] >= DAY
    assert not {key for key in made.pointers if key.removesuffix(".json")[-10:] in after.shown()}

    listing, current = [each for each in shelf.listing if "/dates/" not in each.key], shelf.catalogue
    for _ in range(4):  # tombstones, deletion, its record; once more to see that nothing is left to do
        step = plan_gc(listing, current, shelf.latest, CORPUS, terms)
        current = step.applied(current)
        gone = {each.key for each in (*step.manifests, *step.objects, *step.graves)}
        listing = [ObjectInfo(each.key, each.size_bytes, 99 * DAY) for each in listing if each.key not in gone]
        listing += [info(layout.tombstone_key(CORPUS, stone.snapshot), 99 * DAY) for stone in step.tombstones]
    assert step == Plan()
    assert {each.snapshot for each in current.publications} == shown
    assert current.doomed == ()
    left = {key for each in listing if (key := each.key).startswith(layout.snapshots_prefix(CORPUS))}
    assert left == {layout.part_key(CORPUS, name, number) for name in shown for number in range(2)}
