"""Where everything lies, as exact paths."""

from __future__ import annotations

import pytest

from kizami import layout
from kizami.errors import ConfigurationError


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (layout.corpus_prefix("recipes"), "v1/recipes/"),
        (layout.corpus_prefix("recipes", 2), "v2/recipes/"),
        (layout.head_key("recipes"), "v1/recipes/head.json"),
        (layout.latest_key("recipes"), "v1/recipes/latest.json"),
        (layout.dates_prefix("recipes"), "v1/recipes/dates/"),
        (layout.date_key("recipes", "2026-11-23"), "v1/recipes/dates/2026-11-23.json"),
        (layout.snapshots_prefix("recipes"), "v1/recipes/snapshots/"),
        (layout.snapshot_prefix("recipes", "X"), "v1/recipes/snapshots/X/"),
        (layout.snapshot_glob("recipes", "X"), "v1/recipes/snapshots/X/part-*.parquet"),
        (layout.part_key("recipes", "X", 0), "v1/recipes/snapshots/X/part-00000.parquet"),
        (layout.part_key("recipes", "X", 99_999), "v1/recipes/snapshots/X/part-99999.parquet"),
        (layout.manifests_prefix("recipes"), "v1/recipes/manifests/"),
        (layout.manifest_key("recipes", "X"), "v1/recipes/manifests/X.json"),
        (layout.staging_prefix("recipes"), "v1/recipes/staging/"),
        (layout.staging_key("recipes", "0f3a"), "v1/recipes/staging/0f3a.parquet"),
        (layout.quarantine_key("recipes", "R"), "v1/recipes/quarantine/R.parquet"),
        (layout.runs_prefix("recipes"), "v1/recipes/runs/"),
        (layout.tombstone_key("recipes", "S"), "v1/recipes/tombstones/S.json"),
        (layout.run_key("recipes", "R"), "v1/recipes/runs/R.json"),
        (layout.head_key("recipes", 2), "v2/recipes/head.json"),
    ],
)
def test_paths(made: str, expected: str) -> None:
    """Each thing has one place, which readers without kizami know too."""
    assert made == expected


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "_skipped", "a=b", "a b", "料理", "x" * 129])
def test_names_that_readers_would_stumble_over_are_refused(name: str) -> None:
    """No ``=``, no leading dot or underscore, no slash, no blank."""
    with pytest.raises(ConfigurationError):
        layout.corpus_prefix(name)
    with pytest.raises(ConfigurationError):
        layout.snapshot_prefix("recipes", name)


@pytest.mark.parametrize("day", ["", "2026-11-31", "20261123", "2026-W48-1", "2026-11-23T00:00", "../latest"])
def test_dates_are_written_one_way(day: str) -> None:
    """A date's pointer has one name only."""
    with pytest.raises(ConfigurationError):
        layout.date_key("recipes", day)


@pytest.mark.parametrize("number", [-1, 100_000])
def test_part_names_sort_as_their_numbers(number: int) -> None:
    """A sixth digit would sort wrongly, so there is none."""
    with pytest.raises(ConfigurationError):
        layout.part_name(number)
