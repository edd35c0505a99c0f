"""The daily job: take the lock, read the source, build the parts on Ray, check, publish."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from importlib.metadata import version
from typing import Any, Final

import pyarrow as pa
import ray
import ray.exceptions

from kizami import json_form, layout
from kizami.analysis.dictionary import ANALYSIS_VERSION, bundled_dictionary, fingerprint
from kizami.commit import Holder, Pointer, decode_pointer
from kizami.config import Config, CorpusConfig
from kizami.errors import ConfigurationError, DataError, UnavailableError
from kizami.lease import Lease
from kizami.ledger import Ledger, RunEntry, State
from kizami.manifest import Counts, Manifest, PartEntry, Provenance, decode_manifest
from kizami.part_builder import BuiltPart, PartJob
from kizami.parts import Bounds
from kizami.quarantine import count_reasons, to_parquet
from kizami.sources import SourceFile, list_files
from kizami.stores import ObjectMissingError, ObjectStore, open_store
from kizami_jobs.cluster import cluster_error, connected
from kizami_jobs.progress import Progress
from kizami_jobs.reading import Corpus, read_corpus
from kizami_jobs.record import RunRecord, now, timestamp
from kizami_jobs.tasks import ProgressBoard, SharedStore, WorkerReport, make_part, split_blocks
from kizami_schemas import v1

_POLL_SECONDS: Final = 0.5
_COPIES_AT_ONCE: Final = 8
_SPLIT_BLOCKS: Final = 8
"""Blocks cut by one task: 64 MiB of text at the most, and an eighth of the objects one task a block would make."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked of a run."""

    corpus: str
    date: date | None = None
    """Business date; None: today in the configured time zone."""
    as_of_now: bool = False
    """Whether another date than today may be given to a source that is only ever "now"."""
    allow_empty: bool = False


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to."""

    entry: RunEntry
    pointer: Pointer
    """The snapshot that stands for the business date now; on an unchanged input the one that stood before."""
    store: str


def run_corpus(config: Config, request: RunRequest, progress: Progress, *, address: str | None = None) -> RunResult:
    """Analyse a corpus and publish it as the snapshot of a business date.

    ``address`` is the Ray cluster to run on; None starts a local one. Whatever happens, readers see the previous
    snapshot or the new one, and the ledger says which. Raises the errors of ``kizami.errors``.
    """
    corpus = config.corpus(request.corpus)
    started = now()
    day = _business_date(request, corpus, started.astimezone(config.timezone).date())
    store = open_store(config.store)
    record = RunRecord(
        Ledger(store, corpus.name),
        RunEntry(
            run=_new_id(started),
            verb="run",
            corpus=corpus.name,
            date=day.isoformat(),
            state=State.STARTED,
            stage="lock",
            started_at=timestamp(started),
            versions=_versions(),
        ),
    )
    try:
        with _lock(store, config, record, progress) as lease:
            job = _Run(config, request, replace(corpus, source=corpus.source.replace("{date}", day.isoformat())))
            return job.perform(store, lease, record, progress, address)
    except BaseException as error:
        record.fail(error)
        raise


class _Run:
    """One run while it holds the lock."""

    def __init__(self, config: Config, request: RunRequest, corpus: CorpusConfig) -> None:
        self.config = config
        self.request = request
        self.corpus = corpus

    def perform(
        self, store: ObjectStore, lease: Lease, record: RunRecord, progress: Progress, address: str | None
    ) -> RunResult:
        self.store, self.lease, self.record, self.progress = store, lease, record, progress
        self.day = record.entry.date
        progress.say(f"run {record.entry.run}: corpus {self.corpus.name}, business date {self.day}")
        files = list_files(self.corpus.source)
        self.fingerprint = fingerprint(bundled_dictionary(), self.corpus.normalisation)
        record.note(fingerprint=self.fingerprint)
        with record.stage("ray"):
            connection = connected(address)
            connection.__enter__()
        try:
            return self._perform(files)
        except ray.exceptions.RayError as error:
            raise cluster_error(error) from error
        finally:
            progress.end_texts()
            connection.__exit__(None, None, None)

    def _perform(self, files: Sequence[SourceFile]) -> RunResult:
        with self.record.stage("read"):
            corpus = read_corpus(files, self.corpus, self.lease.check)
            self.record.count(documents=len(corpus.doc_ids), texts=corpus.texts)
        self.progress.say(f"read {len(corpus.doc_ids):,} documents, {corpus.texts:,} texts from {len(files):,} files")
        input_digest = self._input_digest(corpus.input_digest)
        if (published := self._published(input_digest)) is not None:
            self.progress.say(f"nothing to do: {published.snapshot} was made of the same input")
            self.record.note(snapshot=published.snapshot)
            self.record.end(State.UNCHANGED)
            return RunResult(self.record.entry, published, self.config.store)
        with self.record.stage("analyse"), self._probe() as shared:
            parts = self._build(corpus, files, shared)
        quarantine = self._quarantine(parts)
        self._check(corpus, parts)
        with self.record.stage("assemble"):
            manifest = self._assemble(files, parts, input_digest, quarantine)
        with self.record.stage("publish"):
            pointer = self.lease.commit(self._pointer(manifest))
        self.record.note(snapshot=pointer.snapshot)
        self.record.end(State.PUBLISHED)
        self._clear_staging(manifest)
        return RunResult(self.record.entry, pointer, self.config.store)

    def _input_digest(self, rows: int) -> str:
        decisive = {
            "rows": f"{rows:064x}",
            "fingerprint": self.fingerprint,
            "columns": v1.SCHEMA.names,
            "id": self.corpus.id_column,
            "fields": self.corpus.fields,
            "part_bytes": self.corpus.part_bytes,
        }
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()

    def _published(self, input_digest: str) -> Pointer | None:
        """The business date's pointer, if its snapshot was made of this input."""
        key = layout.date_key(self.corpus.name, self.day)
        try:
            pointer = decode_pointer(self.store.get(key).body, key)
        except ObjectMissingError:
            return None
        return pointer if self._manifest(pointer).input_digest == input_digest else None

    def _manifest(self, pointer: Pointer) -> Manifest:
        try:
            return decode_manifest(self.store.get(pointer.manifest).body, pointer.manifest)
        except ObjectMissingError:
            raise DataError(
                f"{pointer.manifest} is missing though {pointer.snapshot} is published: restore it"
            ) from None

    @contextmanager
    def _probe(self) -> Iterator[SharedStore]:
        """The store for the workers; on several hosts with a folder as store, with a probe they must find."""
        if self.config.store.startswith("s3://") or len(ray.nodes()) < 2:  # type: ignore[no-untyped-call]
            yield SharedStore(self.config.store, None)
            return
        key = f"{layout.staging_prefix(self.corpus.name)}{self.record.entry.run}.probe"
        self.store.put(key, b"written by the driver for its workers\n")
        try:
            yield SharedStore(self.config.store, key)
        finally:
            with suppress(UnavailableError):
                self.store.delete([key])

    def _bounds(self, corpus: Corpus) -> Bounds:
        previous = self._manifest(self.lease.predecessor).bounds if self.lease.predecessor else None
        return corpus.bounds(previous, self.corpus.part_bytes)

    def _build(self, corpus: Corpus, files: Sequence[SourceFile], shared: SharedStore) -> list[BuiltPart]:
        """Build all parts on the cluster; they come in the order of their bounds."""
        bounds = self._bounds(corpus)
        slices = _shuffle(corpus.take_blocks(), bounds)
        board: Any = ProgressBoard.remote()  # type: ignore[attr-defined]  # Ray adds it to the class
        names = tuple(file.url for file in files)
        pending = []
        for number, lower in enumerate(bounds):
            job = PartJob(
                corpus=self.corpus.name,
                run=self.record.entry.run,
                fields=self.corpus.fields,
                files=names,
                number=number,
                lower=lower,
                upper=bounds[number + 1] if number + 1 < len(bounds) else None,
                fingerprint=self.fingerprint,
            )
            pending.append(make_part.remote(job, self.corpus, shared, board, *slices[number]))
        del slices
        self.progress.start_texts(corpus.texts)
        built: list[WorkerReport] = []
        try:
            while pending:
                done, pending = ray.wait(pending, num_returns=len(pending), timeout=_POLL_SECONDS)
                built += ray.get(done)
                self.lease.check()
                self.progress.texts(ray.get(board.total.remote()))
        finally:
            for task in pending:
                ray.cancel(task, force=True)
        self.progress.end_texts()
        self._count(built)
        return sorted((report.part for report in built), key=lambda part: part.number)

    def _count(self, built: Sequence[WorkerReport]) -> None:
        parts = [report.part for report in built]
        self.record.count(
            parts=len(parts),
            parts_reused=sum(part.reused for part in parts),
            parts_analysed=sum(not part.reused for part in parts),
            texts_analysed=sum(part.analysed for part in parts),
            rows=sum(part.report.rows for part in parts),
            tokens=sum(part.report.tokens for part in parts),
            quarantined=sum(len(part.quarantined) for part in parts),
        )
        self.record.note(peak_worker_bytes=max(report.peak_bytes for report in built))

    def _quarantine(self, parts: Sequence[BuiltPart]) -> str | None:
        """Write what was held back; return its key."""
        count = self.record.entry.counts.quarantined
        if not count:
            return None
        key = layout.quarantine_key(self.corpus.name, self.record.entry.run)
        self.store.put(key, to_parquet(part.quarantined for part in parts))
        self.progress.say(f"{count:,} texts could not be analysed; they are in {self.config.store}/{key}")
        return key

    def _check(self, corpus: Corpus, parts: Sequence[BuiltPart]) -> None:
        """Let through only what is complete. Raises DataError; nothing is published then."""
        counts = self.record.entry.counts
        in_parts = sum(part.texts for part in parts)
        if not corpus.texts == in_parts == counts.rows + counts.quarantined:
            raise DataError(
                f"the source has {corpus.texts:,} texts, the parts took {in_parts:,} and made {counts.rows:,} rows and "
                f"{counts.quarantined:,} in quarantine, which must be equal: nothing was published, please report it"
            )
        if not counts.rows and not self.request.allow_empty:
            held = f"; {counts.quarantined:,} were held back, see quarantine/" if counts.quarantined else ""
            raise DataError(f"{self.corpus.source} has no texts to publish{held}; give --allow-empty if that is right")

    def _assemble(
        self, files: Sequence[SourceFile], parts: Sequence[BuiltPart], input_digest: str, quarantine: str | None
    ) -> Manifest:
        """Copy the parts into the snapshot's folder, compare its listing, write the manifest."""
        moment = now()
        snapshot = _new_id(moment)
        entries = tuple(_part_entry(number, part) for number, part in enumerate(parts))
        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            list(pool.map(lambda entry: self._copy(snapshot, entry), entries))
        self._compare_listing(snapshot, entries)
        self.lease.check()
        manifest = Manifest(
            schema=f"{v1.MAJOR}.{v1.MINOR}",
            corpus=self.corpus.name,
            snapshot=snapshot,
            date=self.day,
            created_at=timestamp(moment),
            fingerprint=self.fingerprint,
            input_digest=input_digest,
            counts=_counts(parts),
            parts=entries,
            quarantine=quarantine,
            provenance=self._provenance(files),
        )
        self.store.put(layout.manifest_key(self.corpus.name, snapshot), json_form.encode(manifest))
        return manifest

    def _copy(self, snapshot: str, entry: PartEntry) -> None:
        staged = layout.staging_key(self.corpus.name, entry.key)
        self.store.copy(staged, layout.snapshot_prefix(self.corpus.name, snapshot) + entry.name)

    def _compare_listing(self, snapshot: str, entries: Sequence[PartEntry]) -> None:
        prefix = layout.snapshot_prefix(self.corpus.name, snapshot)
        found = {info.key.removeprefix(prefix): info.size_bytes for info in self.store.list(prefix)}
        expected = {entry.name: entry.size_bytes for entry in entries}
        if found != expected:
            differing = min(set(found.items()) ^ set(expected.items()))[0]
            raise DataError(f"{prefix} does not hold what it should, {differing} for one; start the run again")

    def _provenance(self, files: Sequence[SourceFile]) -> Provenance:
        return Provenance(
            run=self.record.entry.run,
            source=self.corpus.source,
            source_files=len(files),
            source_bytes=sum(file.size_bytes for file in files),
            as_of_now=self.request.as_of_now,
            fields=self.corpus.fields,
            normalisation=str(self.corpus.normalisation),
            part_bytes=self.corpus.part_bytes,
            analysis_version=ANALYSIS_VERSION,
            versions=self.record.entry.versions,
        )

    def _pointer(self, manifest: Manifest) -> Pointer:
        return Pointer(
            schema=v1.MAJOR,
            corpus=manifest.corpus,
            snapshot=manifest.snapshot,
            date=manifest.date,
            path=layout.snapshot_prefix(manifest.corpus, manifest.snapshot),
            glob=layout.snapshot_glob(manifest.corpus, manifest.snapshot),
            manifest=layout.manifest_key(manifest.corpus, manifest.snapshot),
            rows=manifest.counts.rows,
            published_at=timestamp(now()),
            fingerprint=manifest.fingerprint,
            commit=0,
        )

    def _clear_staging(self, manifest: Manifest) -> None:
        """Remove what is in the snapshot now. A store that is away leaves it to the next run's cleaning."""
        with suppress(UnavailableError):
            self.store.delete(layout.staging_key(self.corpus.name, part.key) for part in manifest.parts)


@contextmanager
def _lock(store: ObjectStore, config: Config, record: RunRecord, progress: Progress) -> Iterator[Lease]:
    entry = record.entry

    def bury(dead: Holder) -> None:
        progress.say(f"run {dead.run} on {dead.host} died; going on from what it finished")
        Ledger(store, entry.corpus).close_dead(dead.run, timestamp(now()))

    holder = Holder(
        run=entry.run,
        verb=entry.verb,
        corpus=entry.corpus,
        date=entry.date,
        host=socket.gethostname(),
        pid=os.getpid(),
        taken_at=timestamp(now()),
        beat_seconds=config.lock.beat_seconds,
        expiry_seconds=config.lock.expiry_seconds,
    )
    with Lease.take(store, entry.corpus, holder, on_takeover=bury) as lease:
        yield lease


def _business_date(request: RunRequest, corpus: CorpusConfig, today: date) -> date:
    day = request.date or today
    if day != today and "{date}" not in corpus.source and not request.as_of_now:
        raise ConfigurationError(
            f"the source of {corpus.name} has no {{date}} in it, so it is that of today, {today}, not of {day}: "
            "give --as-of-now to publish it under that date all the same"
        )
    return day


def _new_id(moment: datetime) -> str:
    """An id that sorts by time and cannot be guessed."""
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}"


def _versions() -> Mapping[str, str]:
    packages = ("kizami", "pyarrow", "fugashi", "ray")
    return {
        **{name: version(name) for name in packages},
        "python": platform.python_version(),
        "dictionary": bundled_dictionary().name,
    }


def _shuffle(blocks: list[Any], bounds: Bounds) -> list[list[Any]]:
    """Cut blocks into parts: for each part, references to its pieces."""
    slices: list[list[Any]] = [[] for _ in bounds]
    for start in range(0, len(blocks), _SPLIT_BLOCKS):
        pieces = split_blocks.options(num_returns=len(bounds)).remote(bounds, *blocks[start : start + _SPLIT_BLOCKS])
        for own, piece in zip(slices, pieces if len(bounds) > 1 else [pieces], strict=True):
            own.append(piece)
    return slices


def _part_entry(number: int, part: BuiltPart) -> PartEntry:
    report = part.report
    return PartEntry(
        name=layout.part_name(number),
        lower=part.lower,
        key=part.key,
        rows=report.rows,
        tokens=report.tokens,
        unknown_tokens=report.unknown_tokens,
        size_bytes=report.size_bytes,
        sha256=report.sha256,
    )


def _counts(parts: Sequence[BuiltPart]) -> Counts:
    quarantined = pa.concat_tables([part.quarantined for part in parts])
    return Counts(
        documents=sum(part.documents for part in parts),
        texts=sum(part.texts for part in parts),
        text_bytes=sum(part.text_bytes for part in parts),
        rows=sum(part.report.rows for part in parts),
        tokens=sum(part.report.tokens for part in parts),
        unknown_tokens=sum(part.report.unknown_tokens for part in parts),
        quarantined=len(quarantined),
        quarantined_by_reason=count_reasons(quarantined),
    )
