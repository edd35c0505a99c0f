"""Runs without Ray: the job's own pure functions and part builder, on a store, one day after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kizami import layout
from kizami.analysis.analyser import Analysis, bundled_analyser
from kizami.assembly import assemble, count
from kizami.input_digests import add_up, no_digests, to_hex
from kizami.manifest import Manifest, Provenance
from kizami.part_builder import BuiltPart, PartJob, build_part, copied_part
from kizami.parts import Bounds, cut_bounds, follow_bounds, part_numbers, split
from kizami.predecessor import PlannedPart, Predecessor, plan_parts
from kizami.renewal import NOTHING, Renewal
from kizami.sources import Block, list_files, read_texts
from kizami.stores import ObjectStore
from kizami.texts import TEXTS
from support.kitchen import RECIPE_FIELDS
from support.store_contents import read_parquet

FINGERPRINT = "f" * 32


@dataclass
class RecordingAnalyser:
    """The analyser, which remembers what it was asked; some texts it can never analyse."""

    failing: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def analyse(self, texts: Sequence[str]) -> Analysis:
        """Tokens of the texts; of a failing one none."""
        self.asked += texts
        failures = {index: self.failing[text] for index, text in enumerate(texts) if text in self.failing}
        shown = ["" if index in failures else text for index, text in enumerate(texts)]
        return Analysis(bundled_analyser().analyse(shown).tokens, failures)


@dataclass(frozen=True, slots=True)
class Day:
    """What a run made."""

    manifest: Manifest
    rows: pa.Table
    quarantine: pa.Table
    parts: list[BuiltPart]
    asked: dict[int, list[str]]
    """By part, the texts given to the analyser."""


class Chronicle:
    """Snapshots in a store, each made from the last."""

    def __init__(self, store: ObjectStore, failing: Mapping[str, str] | None = None) -> None:
        self._store = store
        self._failing = failing or {}
        self._last: Manifest | None = None
        self._days = 0

    def run(self, source: Path, part_bytes: int, renewal: Renewal = NOTHING, bounds: Bounds | None = None) -> Day:
        """One run on all files of a folder; ``bounds`` are given where they are not to be those that follow."""
        files = list_files(str(source))
        blocks = [
            block
            for number, file in enumerate(files)
            for block in read_texts(
                file, file_index=number, id_column="recipe_id", fields=RECIPE_FIELDS, block_bytes=200
            )
        ]
        previous = Predecessor(self._last, FINGERPRINT, RECIPE_FIELDS) if self._last else None
        bounds = bounds or _bounds(blocks, self._last.bounds if self._last else None, part_bytes)
        planned = plan_parts(bounds, previous, _digests(blocks, self._last.bounds) if self._last else [], renewal)
        asked: dict[int, list[str]] = {}
        parts = [self._part(part, bounds, blocks, renewal, asked) for part in planned]
        snapshot = f"{self._days:04}"
        self._days += 1
        entries = assemble(self._store, "recipes", snapshot, parts, _digests(blocks, bounds))
        self._store.delete(layout.staging_key("recipes", part.key) for part in parts)
        self._last = _manifest(snapshot, parts, entries, part_bytes)
        return Day(
            self._last,
            pa.concat_tables(
                read_parquet(f"{self._store.url}/{layout.snapshot_prefix('recipes', snapshot)}{entry.name}")
                for entry in entries
            ),
            pa.concat_tables(part.quarantined for part in parts),
            parts,
            asked,
        )

    def _part(
        self,
        part: PlannedPart,
        bounds: Bounds,
        blocks: Sequence[Block],
        renewal: Renewal,
        asked: dict[int, list[str]],
    ) -> BuiltPart:
        if part.copied:
            return copied_part(part.number, part.copied)
        job = PartJob(
            corpus="recipes",
            run=f"run-{self._days}",
            fields=RECIPE_FIELDS,
            files=("the source",) * 99,
            number=part.number,
            lower=part.lower,
            upper=part.upper,
            fingerprint=FINGERPRINT,
            previous=part.previous,
            renewal=renewal.within(part.lower, part.upper),
        )
        analyser = RecordingAnalyser(self._failing)
        slices = [split(block.texts, bounds, [part.number])[0] for block in blocks]
        built = build_part(job, slices, analyser, self._store, lambda done: None)
        asked[part.number] = analyser.asked
        return built


def _digests(blocks: Iterable[Block], bounds: Bounds) -> list[str]:
    sums = no_digests(len(bounds))
    for block in blocks:
        sums += add_up(block.digests, part_numbers(block.doc_ids, bounds), len(bounds))
    return to_hex(sums)


def _bounds(blocks: Sequence[Block], previous: Bounds | None, part_bytes: int) -> Bounds:
    texts = pa.concat_tables([TEXTS.empty_table(), *(block.texts for block in blocks)])
    sizes = pa.table({"doc_id": texts["doc_id"], "bytes": pc.binary_length(texts["text"])})
    documents = sizes.filter(pc.is_valid(sizes["doc_id"])).group_by("doc_id").aggregate([("bytes", "sum")])
    documents = documents.sort_by("doc_id").combine_chunks()
    ids = documents["doc_id"].combine_chunks() if len(documents) else pa.array([], pa.string())
    own = documents["bytes_sum"].fill_null(0).to_numpy().astype(np.int64)
    return follow_bounds(previous, ids, own, part_bytes) if previous else cut_bounds(ids, own, part_bytes)


def _manifest(snapshot: str, parts: Sequence[BuiltPart], entries: Any, part_bytes: int) -> Manifest:
    return Manifest(
        schema="1.0",
        corpus="recipes",
        snapshot=snapshot,
        date="2026-11-23",
        created_at="2026-11-23T05:00:00Z",
        fingerprint=FINGERPRINT,
        input_digest="0" * 64,
        counts=count(parts),
        parts=entries,
        quarantine=None,
        provenance=Provenance("run", "source", 1, 0, False, RECIPE_FIELDS, "unidic", part_bytes, 1, {}),
    )
