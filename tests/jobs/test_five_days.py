"""Five days of a real corpus, each analysed from the day before: every snapshot is what a first run would make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from kizami.analysis.shown import Normalisation
from kizami.ledger import RunCounts, State
from kizami.stores import open_store
from support import week
from support.job import configuration, run
from support.kitchen import expected_texts
from support.reference import reference_tokens
from support.store_contents import Published, published

pytestmark = [pytest.mark.ray, pytest.mark.shared]

DATES = ("2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23")
PART_BYTES = ("24KiB", "24KiB", "64KiB", "64KiB", "64KiB")
NORMALISATIONS = ("unidic", "unidic", "unidic", "unidic", "none")
COMPARED = 100
"""Rows of a day that are analysed again by the reference."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the corpus, and its snapshot."""

    files: week.Files
    snapshot: Published
    counts: RunCounts


def test_five_days_in_a_folder(local_ray: int, tmp_path: Path, shared_corpora: None) -> None:
    """Texts, documents, files, faults, part size and normalisation change: rows, quarantine and counts of each day are
    those of a first run on its files, its tokens the reference's, and MeCab sees only what changed."""
    days = _live(tmp_path, str(tmp_path), 5)
    analysed = [day.counts.texts_analysed for day in days]
    assert analysed[0] == days[0].counts.rows
    assert 0 < analysed[1] < 200 > analysed[2] > 0
    assert analysed[3] == 0
    assert analysed[4] == days[4].counts.rows  # another normalisation, another analysis
    assert days[1].counts.parts_copied > 5
    assert days[3].counts.parts_copied == days[3].counts.parts > 5
    assert [day.counts.quarantined for day in days] == [0, 1 + 4, 0, 0, 1]
    assert days[2].snapshot.manifest.bounds != days[1].snapshot.manifest.bounds
    assert days[4].snapshot.manifest.fingerprint != days[3].snapshot.manifest.fingerprint


@pytest.mark.s3
def test_two_days_on_s3(local_ray: int, tmp_path: Path, s3_url: str, shared_corpora: None) -> None:
    """The same with source and store on S3, on the day when most is edited."""
    days = _live(tmp_path, s3_url, 2)
    assert 0 < days[1].counts.texts_analysed < 200
    assert days[1].counts.quarantined == 5


def _live(folder: Path, place: str, count: int) -> list[Day]:
    """The first days, one after another; each is compared before the next begins."""
    days: list[Day] = []
    for number, files in enumerate(week.days()[:count]):
        source = open_store(f"{place}/source")
        for name, records in files.items():
            source.put(f"{DATES[number]}/{name}", week.encoded(name, records))
        more = f'normalisation = "{NORMALISATIONS[number]}"\n'
        url = f"{place}/source/{{date}}"
        part_bytes = PART_BYTES[number]
        chain = configuration(folder, store=f"{place}/store", source=url, fields=week.FIELDS, part_bytes=part_bytes)
        chain.write_text(chain.read_text() + more)
        result = run(chain, day=DATES[number])
        assert result.entry.state is State.PUBLISHED
        day = Day(files, published(result.store), result.entry.counts)
        _assert_texts(day)
        _assert_only_changes_are_analysed(
            days[-1] if days else None, day, NORMALISATIONS[max(0, number - 1) : number + 1]
        )
        _assert_tokens(day, Normalisation(NORMALISATIONS[number]))

        alone = configuration(
            folder / DATES[number],
            store=f"{place}/first-{number}",
            source=url,
            fields=week.FIELDS,
            part_bytes=part_bytes,
        )
        alone.write_text(alone.read_text() + more)
        first = run(alone, day=DATES[number])
        assert first.entry.counts.texts_analysed == first.entry.counts.rows
        _assert_equal(day.snapshot, published(first.store))
        days.append(day)
    for number, day in enumerate(days):
        assert published(day.snapshot.store, date=DATES[number]).pointer == day.snapshot.pointer
        assert day.snapshot.rows(["position"]).num_rows == day.counts.rows
    return days


def _assert_texts(day: Day) -> None:
    """All texts of the source are rows, in order, or in quarantine."""
    assert day.snapshot.texts() == expected_texts(week.documents(day.files), week.FIELDS)
    held_back = day.snapshot.quarantine()
    broken = sum(record == week.UNPARSABLE for records in day.files.values() for record in records)
    assert sum(row["reason"] != "duplicate_id" for row in held_back) == broken
    assert sorted((row["doc_id"], row["field"], row["position"]) for row in held_back if row["doc_id"]) == sorted(
        row[:3] for row in expected_texts(week.duplicates(day.files), week.FIELDS)
    )
    assert day.counts.texts == day.counts.rows + len(held_back)


def _assert_only_changes_are_analysed(before: Day | None, day: Day, normalisations: Sequence[str]) -> None:
    """A text is analysed if none of the parts of the day before that may hold its document has it."""
    rows = day.snapshot.texts()
    expected = len(rows)
    if before and len(set(normalisations)) == 1:
        old = _texts_by_part(before.snapshot)
        bounds = [*day.snapshot.manifest.bounds, None]
        expected = 0
        for lower, upper in pairwise(bounds):
            known = {
                text
                for start, end, texts in old
                if (upper is None or start < upper) and (end is None or (lower or "") < end)
                for text in texts
            }
            own = [row for row in rows if (lower or "") <= row[0] and (upper is None or row[0] < upper)]
            expected += sum(row[3] not in known for row in own)
        changed = set(rows) - set(before.snapshot.texts())
        assert day.counts.parts_copied == len(_contents(before.snapshot) & _contents(day.snapshot))
        everywhere = {text for _, _, texts in old for text in texts}
        assert sum(row[3] not in everywhere for row in rows) <= expected <= len(changed)
    assert day.counts.texts_analysed == expected
    assert day.counts.texts_reused == len(rows) - expected


def _contents(snapshot: Published) -> set[tuple[object, ...]]:
    """The bounds and rows of each part; where both stay, so does the file, whatever was held back beside them."""
    parts = zip(snapshot.manifest.parts, snapshot.parts(["doc_id", "field", "position", "text"]), strict=True)
    bounds = [*snapshot.manifest.bounds, None]
    return {
        (entry.lower, upper, *(tuple(row.values()) for row in rows.to_pylist()))
        for (entry, rows), upper in zip(parts, bounds[1:], strict=True)
    }


def _texts_by_part(snapshot: Published) -> list[tuple[str, str | None, set[str]]]:
    """Of each part its bounds and its texts."""
    bounds = [*snapshot.manifest.bounds, None]
    parts = snapshot.parts(["text"])
    return [
        (lower or "", upper, set(part["text"].to_pylist()))
        for part, (lower, upper) in zip(parts, pairwise(bounds), strict=True)
    ]


def _assert_tokens(day: Day, normalisation: Normalisation) -> None:
    """Rows from all over the snapshot have the reference's tokens."""
    rows = day.snapshot.rows()
    for number in range(0, len(rows), max(1, len(rows) // COMPARED)):
        row = rows.slice(number, 1).to_pylist()[0]
        tokens = reference_tokens(row["text"], normalisation)
        assert {name: row[name] for name in tokens} == tokens


def _assert_equal(chain: Published, first: Published) -> None:
    """All rows in all columns, all quarantine, all counts."""
    one, other = chain.rows(), first.rows()
    assert one.schema.equals(other.schema, check_metadata=False)
    assert _without_metadata(one).equals(_without_metadata(other))
    assert sorted(map(repr, chain.quarantine())) == sorted(map(repr, first.quarantine()))
    assert chain.manifest.counts == first.manifest.counts
    assert chain.manifest.fingerprint == first.manifest.fingerprint


def _without_metadata(rows: pa.Table) -> pa.Table:
    return rows.replace_schema_metadata(None)
