"""The same histories through real runs on Ray: the chain of snapshots ends in the rows of a full run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kizami.ledger import State
from kizami.renewal import EVERYTHING
from support import source_history
from support.job import configuration, run
from support.store_contents import Published, published

pytestmark = pytest.mark.ray


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_chain_of_runs_ends_in_the_rows_of_a_full_one(local_ray: int, data: st.DataObject) -> None:
    """Three days of changes, each with a run of its own; then `run --full` publishes equal rows and quarantine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A corpus all of whose documents are held back is refused: this one is sound.
        sound = {"z": {"recipe_id": "z", "title": "卵", "ingredients": [{"name": "卵"}], "steps": ["焼く。"]}}
        corpus = data.draw(source_history.documents())
        for number in range(3):
            shutil.rmtree(folder / "source", ignore_errors=True)
            source_history.write(folder / "source", data.draw(source_history.sources(corpus | sound)))
            part_bytes = data.draw(st.sampled_from(["30B", "100B", "1KiB"]))
            config = configuration(folder, store="./store", source="./source", part_bytes=part_bytes)
            day = f"2026-11-2{number}"
            chain = published(run(config, day=day, as_of_now=True).store)
            result = run(config, day=day, as_of_now=True, renewal=EVERYTHING)
            full = published(result.store)
            assert result.entry.state is State.PUBLISHED
            assert result.entry.counts.texts_analysed == full.manifest.counts.rows
            assert chain.rows().equals(full.rows())
            assert _held_back(chain) == _held_back(full)
            assert chain.manifest.counts == full.manifest.counts
            assert chain.manifest.bounds == full.manifest.bounds
            corpus = data.draw(source_history.edits(corpus))


def _held_back(snapshot: Published) -> list[str]:
    return sorted(map(repr, snapshot.quarantine()))
