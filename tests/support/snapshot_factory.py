"""A small published snapshot without Ray: real analysis, real parts, and the real commit protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kizami import json_form, layout
from kizami.analysis.analyser import process_analyser
from kizami.analysis.dictionary import ANALYSIS_VERSION, bundled_dictionary, fingerprint
from kizami.analysis.shown import Normalisation
from kizami.commit import Holder
from kizami.lease import Lease
from kizami.manifest import Counts, Manifest, PartEntry, Provenance, pointer_to
from kizami.part_builder import BuiltPart, PartJob, build_part
from kizami.parts import cut_bounds, split
from kizami.stores import ObjectStore, open_store
from kizami.texts import TEXTS, text_hash
from kizami_schemas import v1
from kizami_schemas.versions import SchemaVersion

FIELDS: Final = ("title", "steps")
Document = tuple[str, str, Sequence[str]]
"""Id, title and steps."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a snapshot is made of."""

    documents: Sequence[Document]
    date: str = "2026-11-23"
    snapshot: str = "20261123T000000Z-0123456789abcdef"
    corpus: str = "recipes"
    part_bytes: int = 4096
    normalisation: Normalisation = Normalisation.UNIDIC
    versions: tuple[SchemaVersion, ...] = ()
    """The versions of the schema that it is published in beside the first."""


def recipes(count: int = 120) -> list[Document]:
    """Documents whose ids sort otherwise in UTF-16, with texts of every kind, those without tokens included."""
    dishes = (
        "肉じゃが",
        "豚の生姜焼き",
        "ほうれん草のおひたし",
        "チキンカレー",
        "🍣の盛り合わせ",
        "ﾎｯﾄｹｰｷ",
        "麻婆豆腐",
    )
    steps = (
        "玉ねぎを薄切りにし、レンジで2分ほど加熱する。",
        "鍋に水200mlと調味料を入れて火にかける。沸騰したら弱火にする。",
        "器に盛り、お好みでqwrtzp産のごまをふって出来上がり!",
        "",
        "　\n",
        "じゃがいもは皮をむいて一口大に切り、水にさらしておきます。",
        "か\u3099んばってよく混ぜる",
    )
    found: list[Document] = []
    for number in range(count):
        # U+1F363 sorts after U+FF5A by code points and by UTF-8, before it in UTF-16.
        start = ("recipe", "料理", "ｚ", "🍣")[number % 4]
        own = [steps[(number + step) % len(steps)] for step in range(number % 4)]
        found.append((f"{start}-{number:04d}", f"{dishes[number % len(dishes)]} その{number}", own))
    return found


def texts_of(documents: Sequence[Document]) -> pa.Table:
    """Documents as a source gives them: schema TEXTS, in the order given, one file, a line each."""
    rows = [
        (doc_id, field, position, text, text_hash(text.encode()), None, None, 0, line)
        for line, (doc_id, title, steps) in enumerate(documents, 1)
        for field, texts in enumerate(((title,), steps))
        for position, text in enumerate(texts)
    ]
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [[] for _ in TEXTS]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, TEXTS, strict=True)], schema=TEXTS
    )


def publish_snapshot(store_url: str, recipe: Recipe) -> Manifest:
    """Analyse and publish under the lock, as a run does. The same recipe gives the same bytes in every store."""
    return publish_in(open_store(store_url), recipe)


def publish_in(store: ObjectStore, recipe: Recipe) -> Manifest:
    """The same, in a store at hand."""
    holder = Holder(
        run="20261123T000000Z-run", verb="run", corpus=recipe.corpus, date=recipe.date, host="here", pid=1, taken_at=""
    )
    with Lease.take(store, recipe.corpus, holder, on_takeover=lambda _: None) as lease:
        parts = _build(store, recipe)
        manifest = _manifest(recipe, parts)
        for version in recipe.versions:
            own = [part.in_schema(version.major) for part in parts]
            entries = tuple(_entry(part) for part in own)
            _place(store, replace(manifest, schema=version.name, parts=entries))
        _place(store, manifest)
        lease.commit(pointer_to(manifest, manifest.created_at), [version.major for version in recipe.versions])
    return manifest


def _place(store: ObjectStore, manifest: Manifest) -> None:
    folder = layout.snapshot_prefix(manifest.corpus, manifest.snapshot, manifest.major)
    for part in manifest.parts:
        store.copy(layout.staging_key(manifest.corpus, part.key), folder + part.name)
    key = layout.manifest_key(manifest.corpus, manifest.snapshot, manifest.major)
    store.put(key, json_form.encode(manifest))


def _build(store: ObjectStore, recipe: Recipe) -> list[BuiltPart]:
    texts = texts_of(recipe.documents)
    sizes = pa.table({"doc_id": texts["doc_id"], "bytes": pc.binary_length(texts["text"])})
    sizes = sizes.group_by("doc_id").aggregate([("bytes", "sum")]).sort_by("doc_id")
    ids, text_bytes = sizes["doc_id"].combine_chunks(), sizes["bytes_sum"].to_numpy().astype(np.int64)
    bounds = cut_bounds(ids, text_bytes, recipe.part_bytes)
    analyser = process_analyser(bundled_dictionary(), recipe.normalisation)
    built = []
    for number, (lower, own) in enumerate(zip(bounds, split(texts, bounds), strict=True)):
        job = PartJob(
            corpus=recipe.corpus,
            run="20261123T000000Z-run",
            fields=FIELDS,
            files=("recipes.jsonl",),
            number=number,
            lower=lower,
            upper=bounds[number + 1] if number + 1 < len(bounds) else None,
            fingerprint=fingerprint(bundled_dictionary(), recipe.normalisation),
            versions=recipe.versions,
        )
        built.append(build_part(job, [own], analyser, store, lambda _: None))
    return built


def _manifest(recipe: Recipe, parts: Sequence[BuiltPart]) -> Manifest:
    return Manifest(
        schema=f"{v1.MAJOR}.{v1.MINOR}",
        corpus=recipe.corpus,
        snapshot=recipe.snapshot,
        date=recipe.date,
        created_at=f"{recipe.date}T00:00:00Z",
        fingerprint=fingerprint(bundled_dictionary(), recipe.normalisation),
        input_digest="0" * 64,
        counts=Counts(
            documents=sum(part.documents for part in parts),
            texts=sum(part.texts for part in parts),
            text_bytes=sum(part.text_bytes for part in parts),
            rows=sum(part.report.rows for part in parts),
            tokens=sum(part.report.tokens for part in parts),
            unknown_tokens=sum(part.report.unknown_tokens for part in parts),
            quarantined=0,
            quarantined_by_reason={},
        ),
        parts=tuple(_entry(part) for part in parts),
        quarantine=None,
        provenance=Provenance(
            run="20261123T000000Z-run",
            source="recipes.jsonl",
            source_files=1,
            source_bytes=0,
            as_of_now=False,
            fields=FIELDS,
            normalisation=recipe.normalisation,
            part_bytes=recipe.part_bytes,
            analysis_version=ANALYSIS_VERSION,
            versions={},
        ),
    )


def _entry(part: BuiltPart) -> PartEntry:
    return PartEntry(
        name=layout.part_name(part.number),
        lower=part.lower,
        key=part.key,
        rows=part.report.rows,
        tokens=part.report.tokens,
        unknown_tokens=part.report.unknown_tokens,
        size_bytes=part.report.size_bytes,
        sha256=part.report.sha256,
    )
