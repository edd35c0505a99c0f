"""Building one part: its texts in, a finished file in staging out. What a worker does, without Ray."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kizami import layout
from kizami.analysis.contract import TextAnalyser
from kizami.encoded import ROWS
from kizami.errors import DataError
from kizami.partfile import PartReport, PartWriter, inspect_part, read_failures
from kizami.parts import Prepared, has_unique_keys, part_key, prepare
from kizami.quarantine import quarantine_rows
from kizami.stores.base import ConditionFailedError, ObjectMissingError, ObjectStore
from kizami.texts import TEXTS, Reason
from kizami_schemas import v1

BATCH_BYTES = 1 << 20
"""UTF-8 bytes of text given to the analyser at once: some 350,000 tokens at the most, about 60 MB of columns."""
_BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class PartJob:
    """What makes a part, apart from its texts."""

    corpus: str
    run: str
    fields: tuple[str, ...]
    files: tuple[str, ...]
    """The source's files, by the number that TEXTS refers to."""
    number: int
    lower: str
    upper: str | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class BuiltPart:
    """A finished part in staging."""

    number: int
    lower: str
    key: str
    report: PartReport
    quarantined: pa.Table
    """Schema of ``kizami.quarantine``."""
    documents: int
    texts: int
    """Texts of the source in this part: rows + quarantined."""
    text_bytes: int
    analysed: int
    """Texts given to the analyser; 0 where the part was found finished."""
    reused: bool


def build_part(
    job: PartJob,
    slices: Sequence[pa.Table],
    analyser: TextAnalyser,
    store: ObjectStore,
    progress: Callable[[int], None],
) -> BuiltPart:
    """Sort, analyse, write and stage a part, unless it is staged already.

    ``progress`` is told the number of this part's texts done so far. Raises UnavailableError; DataError when what is
    staged under the part's key is not that part.
    """
    prepared = prepare(pa.concat_tables(slices) if slices else TEXTS.empty_table())
    if not has_unique_keys(prepared.sound):
        raise DataError(f"part {job.number} has two texts of one (doc_id, field, position): please report this bug")
    key = part_key(
        prepared.sound,
        job.fields,
        job.lower,
        job.upper,
        fingerprint=job.fingerprint,
        schema=f"{v1.MAJOR}.{v1.MINOR}",
    )
    staged = layout.staging_key(job.corpus, key)
    with tempfile.TemporaryDirectory(prefix="kizami-") as folder:
        path = Path(folder) / "part.parquet"
        reused = _download(store, staged, path)
        if not reused:
            _write(path, job, prepared.sound, analyser, progress)
            try:
                store.create(staged, path)
            except ConditionFailedError:
                # Another worker was quicker, or our own answer was lost. What counts is what stands there.
                _download(store, staged, path)
        report = inspect_part(path, job.lower, job.upper)
        failures = read_failures(path)
    if report.rows + len(failures) != len(prepared.sound):
        raise DataError(
            f"{staged} holds {report.rows} rows and {len(failures)} failures where {len(prepared.sound)} texts belong: "
            "delete it and start the run again"
        )
    progress(len(prepared.sound))
    return _built(job, key, prepared, failures, report, reused=reused)


def _built(
    job: PartJob, key: str, prepared: Prepared, failures: list[dict[str, Any]], report: PartReport, *, reused: bool
) -> BuiltPart:
    faulty = pa.concat_tables([prepared.faulty, _failed_texts(prepared.sound, failures)])
    return BuiltPart(
        number=job.number,
        lower=job.lower,
        key=key,
        report=report,
        quarantined=quarantine_rows(faulty, job.fields, job.files),
        documents=prepared.documents,
        texts=len(prepared.sound) + len(prepared.faulty),
        text_bytes=pc.sum(pc.binary_length(prepared.sound["text"])).as_py() or 0,
        analysed=0 if reused else len(prepared.sound),
        reused=reused,
    )


def _download(store: ObjectStore, key: str, path: Path) -> bool:
    try:
        store.download(key, path)
    except ObjectMissingError:
        return False
    return True


def _write(path: Path, job: PartJob, sound: pa.Table, analyser: TextAnalyser, progress: Callable[[int], None]) -> None:
    failures: list[dict[str, Any]] = []
    done = 0
    with PartWriter(path, fingerprint=job.fingerprint, run=job.run) as writer:
        for batch in batches(sound):
            analysis = analyser.analyse(batch["text"].to_pylist())
            for index, message in analysis.failures.items():
                failures.append({"row": done + index, "message": message})
            rows = _rows(batch, job.fields, analysis.tokens)
            if analysis.failures:
                kept = np.ones(len(rows), np.bool_)
                kept[list(analysis.failures)] = False
                rows = rows.filter(pa.array(kept))
            writer.write(rows)
            done += len(batch)
            progress(done)
        writer.finish(failures)


def batches(sound: pa.Table) -> Iterator[pa.Table]:
    """Cut texts into batches of ``BATCH_BYTES``, the same ones for the same texts."""
    total = np.cumsum(pc.binary_length(sound["text"]).to_numpy(), dtype=np.int64)
    start = 0
    while start < len(sound):
        done = total[start - 1] if start else 0
        end = min(int(np.searchsorted(total, done + BATCH_BYTES)) + 1, start + _BATCH_ROWS, len(sound))
        yield sound.slice(start, end - start)
        start = end


def _rows(texts: pa.Table, fields: Sequence[str], tokens: pa.Table) -> pa.Table:
    """Texts and their tokens as rows of schema v1, encoded."""
    field = pa.array(fields, pa.string()).take(texts["field"].combine_chunks())
    head = [texts["doc_id"], field, texts["position"], texts["text"], texts["text_hash"]]
    return pa.Table.from_arrays([*head, *tokens.columns], schema=ROWS)


def _failed_texts(sound: pa.Table, failures: list[dict[str, Any]]) -> pa.Table:
    """The texts that could not be analysed, as rows of schema TEXTS with reason and message."""
    failed = sound.take(pa.array([failure["row"] for failure in failures], pa.int64()))
    count = len(failed)
    replaced = {
        "text": pa.nulls(count, pa.string()),
        "text_hash": pa.nulls(count, pa.string()),
        "reason": pa.array([str(Reason.ANALYSIS_FAILED)] * count, pa.string()),
        "message": pa.array([failure["message"] for failure in failures], pa.string()),
    }
    return pa.Table.from_arrays([replaced.get(name, failed[name]) for name in TEXTS.names], schema=TEXTS)
