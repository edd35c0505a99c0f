"""Whatever happened to a source, a chain of incremental runs ends in the rows that a full run gives."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from kizami.renewal import EVERYTHING
from kizami.stores import open_store
from support import source_history
from support.chronicle import Chronicle, Day
from support.source_history import FAILING, rows_of


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_a_chain_of_runs_ends_in_the_rows_of_a_full_one(data: st.DataObject) -> None:
    """Edits, deletions, additions, moves, renamed files, faults, a text that always fails and other sizes of parts: on
    each day rows, quarantine, bounds and keys are those of a full run with these bounds; and the analyser is only asked
    for texts that no row of the predecessor's parts there has."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for store in ("chain", "full"):
            (folder / store).mkdir()
        chain = Chronicle(open_store(str(folder / "chain")), {FAILING: "MeCab hung"})
        full = Chronicle(open_store(str(folder / "full")), {FAILING: "MeCab hung"})
        corpus = data.draw(source_history.documents())
        before: Day | None = None
        for number in range(data.draw(st.integers(2, 4))):
            source = source_history.write(folder / f"day-{number}", data.draw(source_history.sources(corpus)))
            part_bytes = data.draw(st.sampled_from([30, 100, 10_000]))
            today = chain.run(source, part_bytes)
            whole = full.run(source, part_bytes, EVERYTHING, today.manifest.bounds)
            assert today.rows.equals(whole.rows)
            assert rows_of(today.quarantine) == rows_of(whole.quarantine)
            assert today.manifest.counts == whole.manifest.counts
            assert [part.key for part in today.parts] == [part.key for part in whole.parts]
            assert [entry.input_digest for entry in today.manifest.parts] == [
                entry.input_digest for entry in whole.manifest.parts
            ]
            if before is not None:
                _assert_only_new_texts_were_analysed(before, today)
                event(f"parts copied: {any(part.copied_from for part in today.parts)}")
            before = today
            corpus = data.draw(source_history.edits(corpus))


def _assert_only_new_texts_were_analysed(before: Day, today: Day) -> None:
    bounds = [*before.manifest.bounds, None]
    known = [_texts(before.rows, lower, upper) for lower, upper in pairwise(bounds)]
    ends = [*today.manifest.bounds[1:], None]
    for number, (lower, upper) in enumerate(zip(today.manifest.bounds, ends, strict=True)):
        there = set().union(
            *(
                texts
                for texts, (first, end) in zip(known, pairwise(bounds), strict=True)
                if (upper is None or (first or "") < upper) and (end is None or lower < end)
            )
        )
        asked = today.asked.get(number, [])
        assert not there.intersection(asked)
        part = today.parts[number]
        assert part.taken_over + part.analysed + len(part.quarantined) - part.failed == part.texts
        # Equal texts of a batch are asked for once.
        assert len(set(asked)) <= part.analysed
        assert bool(asked) == bool(part.analysed)


def _texts(rows: pa.Table, lower: str | None, upper: str | None) -> set[str]:
    return {
        text
        for doc_id, text in zip(rows["doc_id"].to_pylist(), rows["text"].to_pylist(), strict=True)
        if (lower or "") <= doc_id and (upper is None or doc_id < upper)
    }
