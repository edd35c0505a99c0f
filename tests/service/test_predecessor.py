"""Which parts a run copies from its predecessor, and whose rows it may take over for the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kizami.manifest import Counts, Manifest, PartEntry, Provenance
from kizami.parts import Bounds
from kizami.predecessor import PlannedPart, Predecessor, plan_parts
from kizami.renewal import EVERYTHING, NOTHING, Renewal

FIELDS = ("title", "steps")
BOUNDS: Bounds = ("", "か", "な")
DIGESTS = ["a" * 64, "b" * 64, "c" * 64]


def _entry(number: int) -> PartEntry:
    return PartEntry(
        f"part-{number:05d}.parquet", BOUNDS[number], f"{number:032x}", 9, 90, 1, 400, "f" * 64, DIGESTS[number]
    )


def _manifest() -> Manifest:
    return Manifest(
        schema="1.0",
        corpus="recipes",
        snapshot="20261123T050000Z-0123456789abcdef",
        date="2026-11-23",
        created_at="2026-11-23T05:00:00Z",
        fingerprint="f" * 32,
        input_digest="b" * 64,
        counts=Counts(9, 27, 99, 27, 270, 3, 0, {}),
        parts=tuple(_entry(number) for number in range(3)),
        quarantine=None,
        provenance=Provenance("run", "s3://dumps/*", 2, 99, False, FIELDS, "unidic", 32 << 20, 1, {"ray": "2"}),
    )


def _plan(
    manifest: Manifest | None = None,
    *,
    bounds: Bounds = BOUNDS,
    digests: list[str] = DIGESTS,
    renewal: Renewal = NOTHING,
    fingerprint: str = "f" * 32,
    fields: tuple[str, ...] = FIELDS,
) -> list[PlannedPart]:
    predecessor = Predecessor(manifest or _manifest(), fingerprint, fields)
    return plan_parts(bounds, predecessor, digests, renewal)


def _copied(planned: list[PlannedPart]) -> list[bool]:
    return [part.copied is not None for part in planned]


def _sources(planned: list[PlannedPart]) -> list[list[str]]:
    return [[previous.entry.lower for previous in part.previous] for part in planned]


def test_parts_of_the_same_input_are_copied() -> None:
    """With equal digests, bounds and analysis every part is the predecessor's, named by where it lies."""
    planned = _plan()
    assert _copied(planned) == [True] * 3
    assert [part.copied.location for part in planned if part.copied] == [
        f"v1/recipes/snapshots/{_manifest().snapshot}/part-0000{number}.parquet" for number in range(3)
    ]


def test_only_the_part_that_changed_is_made() -> None:
    """Another digest makes that part anew, from the rows of its own predecessor alone."""
    planned = _plan(digests=[DIGESTS[0], "0" * 64, DIGESTS[2]])
    assert _copied(planned) == [True, False, True]
    assert _sources(planned) == [[], ["か"], []]


def test_bounds_that_moved_take_rows_from_all_parts_they_cover() -> None:
    """A part that was split or joined is made of the rows of every part that may hold its documents."""
    assert _sources(_plan(bounds=("", "さ"))) == [["", "か"], ["か", "な"]]
    assert _copied(_plan(bounds=("", "か"))) == [True, False]
    assert _sources(_plan(bounds=("", "か", "な", "ま"))) == [[], [], ["な"], ["な"]]


def test_another_analysis_takes_nothing_over() -> None:
    """A new fingerprint or other columns leave nothing of the predecessor but its bounds."""
    for planned in (_plan(fingerprint="0" * 32), _plan(replace(_manifest(), schema="1.1")), _plan(renewal=EVERYTHING)):
        assert _copied(planned) == [False] * 3
        assert _sources(planned) == [[], [], []]


def test_other_fields_take_rows_but_no_parts() -> None:
    """The same texts under other fields keep their tokens; the parts are made anew."""
    planned = _plan(fields=("steps", "title"))
    assert _copied(planned) == [False] * 3
    assert _sources(planned) == [[""], ["か"], ["な"]]


@pytest.mark.parametrize("change", [{"quarantined": 1}, {"input_digest": None}], ids=str)
def test_a_part_that_held_something_back_or_tells_no_digest_is_made_anew(change: dict[str, int | None]) -> None:
    """Its rows are taken over, its file is not."""
    manifest = _manifest()
    changed = replace(manifest.parts[1], **change)  # type: ignore[arg-type]  # of a test's own table
    planned = _plan(replace(manifest, parts=(manifest.parts[0], changed, manifest.parts[2])))
    assert _copied(planned) == [True, False, True]
    assert _sources(planned)[1] == ["か"]


def test_a_renewal_makes_the_parts_it_concerns() -> None:
    """By id those that hold one, by field all of them."""
    assert _copied(_plan(renewal=Renewal(ids=("た", "ね")))) == [True, False, False]
    assert _copied(_plan(renewal=Renewal(field="steps"))) == [False] * 3


def test_without_a_predecessor_everything_is_made() -> None:
    """A first run has only parts to make."""
    planned = plan_parts(("", "さ"), None, ["0" * 64], NOTHING)
    assert [(part.number, part.lower, part.upper) for part in planned] == [(0, "", "さ"), (1, "さ", None)]
    assert _copied(planned) == [False, False]
    assert _sources(planned) == [[], []]
