"""Building one part: its texts in, a finished file in staging out. What a worker does, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami import layout, quarantine
from kizami.analysis.contract import TextAnalyser
from kizami.derivation import DerivedPart, derive
from kizami.errors import DataError
from kizami.part_rows import PartRows
from kizami.partfile import PartReport, PartWriter, file_sha256, inspect_part, read_failures, was_all_analysed
from kizami.parts import Prepared, has_unique_keys, part_key, prepare
from kizami.predecessor import PreviousPart, report_of
from kizami.renewal import NOTHING, Renewal
from kizami.reuse import PreviousRows
from kizami.stores.base import ConditionFailedError, ObjectMissingError, ObjectStore
from kizami.texts import TEXTS, Reason
from kizami.workspace import workspace
from kizami_schemas.versions import V1, SchemaVersion


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
    previous: tuple[PreviousPart, ...] = ()
    """Parts of the predecessor whose rows may be taken over: of the same analysis, in the order of their bounds."""
    renewal: Renewal = NOTHING
    """What is analysed all the same."""
    versions: tuple[SchemaVersion, ...] = ()
    """The versions of the schema to derive from it."""
    lines_before: tuple[int, ...] = ()
    """Of each of the files, what is to be added to its lines, where they are counted from the beginning of a piece."""


@dataclass(frozen=True, slots=True)
class Done:
    """How far a part is, or several are."""

    texts: int = 0
    documents: int = 0
    """Those of which no text is left."""

    @classmethod
    def of_all(cls, parts: Iterable[Done | BuiltPart]) -> Done:
        """How far several parts are together."""
        parts = list(parts)
        return cls(sum(part.texts for part in parts), sum(part.documents for part in parts))


@dataclass(frozen=True, slots=True)
class BuiltPart:
    """A finished part, in staging or in the predecessor's folder."""

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
    """Whether it was found finished in staging."""
    failed: int = 0
    """Texts that the analyser could not analyse."""
    taken_over: int = 0
    """Texts whose tokens come from the predecessor."""
    copied_from: str | None = None
    """Key of the predecessor's part that it is; None: it is in staging."""
    derived: tuple[DerivedPart, ...] = ()
    """The same in other versions of the schema."""

    def in_schema(self, schema: int) -> BuiltPart:
        """The part in another major version. Raises KeyError where it is not derived."""
        own = {part.schema: part for part in self.derived}[schema]
        return replace(self, key=own.key, report=own.report, copied_from=own.copied_from, derived=())


def build_part(
    job: PartJob,
    slices: Sequence[pa.Table],
    analyser: TextAnalyser,
    store: ObjectStore,
    progress: Callable[[Done], None],
) -> BuiltPart:
    """Sort, analyse, write and stage a part, unless it is staged already.

    ``progress`` is told how much of this part is done so far. Raises UnavailableError; DataError when what is
    staged under the part's key is not that part.
    """
    prepared = prepare(pa.concat_tables(slices) if slices else TEXTS.empty_table())
    whole = Done(len(prepared.sound) + len(prepared.faulty), prepared.documents)
    if not has_unique_keys(prepared.sound):
        raise DataError(f"part {job.number} has two texts of one (doc_id, field, position): please report this bug")
    key = part_key(
        prepared.sound,
        job.fields,
        job.lower,
        job.upper,
        fingerprint=job.fingerprint,
        schema=V1.name,
    )
    same = next((part for part in job.previous if part.entry.key == key and not part.entry.failed), None)
    if same and job.renewal.asks_nothing:
        # What changed is only what was held back, or where it stands in the source.
        progress(whole)
        held_back = quarantine.quarantine_rows(prepared.faulty, job.fields, job.files, job.lines_before)
        return _copied(job.number, same, held_back, prepared.documents, _text_bytes(prepared))
    staged = layout.staging_key(job.corpus, key)
    with workspace() as folder:
        path = folder / "part.parquet"
        reused = _found_finished(store, staged, path, job.renewal)
        taken_over = 0
        while not reused:
            taken_over = _write(path, job, prepared.sound, analyser=analyser, store=store, progress=progress)
            try:
                store.upload(staged, path)
            except ConditionFailedError:
                # Another worker was quicker, or our own answer was lost. What counts is what stands there.
                if not _found_finished(store, staged, path, job.renewal):
                    continue
            break
        report = inspect_part(path, job.lower, job.upper)
        failures = read_failures(path)
        if report.rows + len(failures) != len(prepared.sound):
            raise DataError(
                f"{staged} holds {report.rows} rows and {len(failures)} failures where {len(prepared.sound)} texts "
                "belong: delete it and start the run again"
            )
        derived = tuple(derive(store, job.corpus, each, path, report, run=job.run) for each in job.versions)
    progress(whole)
    built = _built(job, key, prepared, failures, report)
    return replace(
        built,
        analysed=0 if reused else len(prepared.sound) - taken_over,
        taken_over=taken_over,
        reused=reused,
        derived=derived,
    )


def _built(job: PartJob, key: str, prepared: Prepared, failures: list[dict[str, Any]], report: PartReport) -> BuiltPart:
    faulty = pa.concat_tables([prepared.faulty, _failed_texts(prepared.sound, failures)])
    return BuiltPart(
        number=job.number,
        lower=job.lower,
        key=key,
        report=report,
        quarantined=quarantine.quarantine_rows(faulty, job.fields, job.files, job.lines_before),
        documents=prepared.documents,
        texts=len(prepared.sound) + len(prepared.faulty),
        text_bytes=_text_bytes(prepared),
        analysed=0,
        reused=False,
        failed=len(failures),
    )


def _text_bytes(prepared: Prepared) -> int:
    return int(pc.sum(pc.binary_length(prepared.sound["text"])).as_py() or 0)


def copied_part(number: int, previous: PreviousPart) -> BuiltPart:
    """A part of the predecessor that held nothing back, as a part of the snapshot to be made."""
    entry = previous.entry
    return _copied(number, previous, quarantine.SCHEMA.empty_table(), entry.documents, entry.text_bytes)


def _copied(number: int, previous: PreviousPart, quarantined: pa.Table, documents: int, text_bytes: int) -> BuiltPart:
    entry = previous.entry
    return BuiltPart(
        number=number,
        lower=entry.lower,
        key=entry.key,
        report=report_of(entry),
        quarantined=quarantined,
        documents=documents,
        texts=entry.rows + len(quarantined),
        text_bytes=text_bytes,
        analysed=0,
        reused=False,
        taken_over=entry.rows,
        copied_from=previous.location,
        derived=previous.derived,
    )


def derive_copied(
    store: ObjectStore, corpus: str, part: BuiltPart, versions: Sequence[SchemaVersion], *, run: str
) -> BuiltPart:
    """A part that is the predecessor's, with what it lacks of some versions derived from it as it lies there.

    Raises DataError where it is not what was published, UnavailableError.
    """
    if part.copied_from is None:
        raise ValueError(f"part {part.number} is not copied")
    with workspace() as folder:
        path = folder / "part.parquet"
        if not _download(store, part.copied_from, path) or file_sha256(path) != part.report.sha256:
            raise DataError(
                f"{part.copied_from} is missing or not what was published: `kizami run --full` analyses without it"
            )
        there = {each.schema for each in part.derived}
        made = [derive(store, corpus, each, path, part.report, run=run) for each in versions if each.major not in there]
    return replace(part, derived=(*part.derived, *made))


def _found_finished(store: ObjectStore, staged: str, path: Path, renewal: Renewal) -> bool:
    """Download a staged part if there is one. Where texts are to be analysed again it counts only if all of them were,
    whoever did it; else it is removed."""
    if not _download(store, staged, path):
        return False
    if renewal.asks_nothing or was_all_analysed(path):
        return True
    store.delete([staged])
    return False


def _download(store: ObjectStore, key: str, path: Path) -> bool:
    try:
        store.download(key, path)
    except ObjectMissingError:
        return False
    return True


def _write(
    path: Path,
    job: PartJob,
    sound: pa.Table,
    *,
    analyser: TextAnalyser,
    store: ObjectStore,
    progress: Callable[[Done], None],
) -> int:
    """Write the part; the number of texts whose tokens were taken over."""
    with ExitStack() as stack:
        places = np.full(len(sound), -1, np.int64)
        rows = None
        if job.previous and len(sound):
            folder = stack.enter_context(workspace())
            rows = stack.enter_context(PreviousRows(_fetch(store, job.previous, folder)))
            places = rows.places(sound["text_hash"].combine_chunks())
            places[job.renewal.rows(sound, job.fields)] = -1
        taken_over = int(np.count_nonzero(places >= 0))
        ends = _document_ends(sound)
        writer = stack.enter_context(PartWriter(path, fingerprint=job.fingerprint, run=job.run))

        def told(done: int) -> None:
            progress(Done(done, int(np.searchsorted(ends, done, side="right"))))

        failures = PartRows(writer, job.fields, analyser, rows).write(sound, places, told)
        writer.finish(failures, taken_over=taken_over)
    return taken_over


def _document_ends(sound: pa.Table) -> npt.NDArray[np.int64]:
    """Of each document of sorted texts, where its last one ends."""
    doc_ids = sound["doc_id"]
    changes = pc.not_equal(doc_ids.slice(1), doc_ids.slice(0, max(0, len(sound) - 1)))
    return np.append(np.flatnonzero(changes.to_numpy()) + 1, len(sound))


def _fetch(store: ObjectStore, previous: Sequence[PreviousPart], folder: Path) -> list[Path]:
    """Download parts of the predecessor. Raises DataError where one is not what was published."""
    paths = [folder / f"{number}.parquet" for number in range(len(previous))]
    for part, path in zip(previous, paths, strict=True):
        if not _download(store, part.location, path):
            what = "is missing"
        elif file_sha256(path) != part.entry.sha256:
            what = "is not what was published"
        else:
            continue
        raise DataError(
            f"{part.location}, whose rows were to be taken over, {what}: `kizami run --full` analyses without them"
        )
    return paths


def _failed_texts(sound: pa.Table, failures: list[dict[str, Any]]) -> pa.Table:
    """The texts that could not be analysed, as rows of schema TEXTS with reason and message."""
    # Without the texts: of a table in several pieces, take joins them all first.
    failed = sound.drop_columns(["text"]).take(pa.array([failure["row"] for failure in failures], pa.int64()))
    count = len(failed)
    replaced = {
        "text": pa.nulls(count, pa.string()),
        "text_hash": pa.nulls(count, pa.string()),
        "reason": pa.array([str(Reason.ANALYSIS_FAILED)] * count, pa.string()),
        "message": pa.array([failure["message"] for failure in failures], pa.string()),
    }
    columns = [replaced[name] if name in replaced else failed[name] for name in TEXTS.names]
    return pa.Table.from_arrays(columns, schema=TEXTS)
