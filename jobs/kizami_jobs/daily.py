"""The daily job: take the lock, read the source, build the parts on Ray, check, publish."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version

import ray.exceptions

from kizami import json_form, layout
from kizami.analysis.dictionary import ANALYSIS_VERSION, bundled_dictionary, fingerprint
from kizami.assembly import assemble, count, figures
from kizami.candidates import require_open, verdicts
from kizami.cleaning import clean
from kizami.config import Config, CorpusConfig
from kizami.errors import ConfigurationError, DataError, UnavailableError
from kizami.gates import closed, render_gates
from kizami.lease import Lease
from kizami.ledger import FailedAttempt, RunEntry, State
from kizami.manifest import Manifest, Provenance, pointer_to
from kizami.part_builder import BuiltPart
from kizami.pointer import Pointer
from kizami.quarantine import to_parquet
from kizami.readers import find_pointer, read_manifest
from kizami.record import RunRecord, new_id, now, timestamp
from kizami.retention import Terms
from kizami.signals import Interruption
from kizami.sources import SourceFile, list_files
from kizami.stores import ObjectStore, open_store
from kizami.undertaking import undertaking
from kizami_jobs.building import build_parts, part_jobs, probed
from kizami_jobs.cluster import cluster_error, connected
from kizami_jobs.progress import Progress
from kizami_jobs.reading import Corpus, read_corpus
from kizami_jobs.tasks import WorkerReport
from kizami_schemas import v1


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked of a run."""

    corpus: str
    date: date | None = None
    """Business date; None: today in the configured time zone."""
    as_of_now: bool = False
    """Whether another date than today may be given to a source that is only ever "now"."""
    allow_empty: bool = False
    candidate: bool = False
    """Whether to stop before the commit: the snapshot is complete in the store, and no reader sees it."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to."""

    entry: RunEntry
    pointer: Pointer
    """The snapshot that stands for the business date now; on an unchanged input the one that stood before. Of a
    candidate what would publish it: its commit is 0, its ``published_at`` empty."""
    store: str


def run_corpus(
    config: Config,
    request: RunRequest,
    progress: Progress,
    *,
    address: str | None = None,
    interruption: Interruption | None = None,
) -> RunResult:
    """Analyse a corpus and publish it as the snapshot of a business date.

    ``address`` is the Ray cluster to run on; None starts a local one. ``interruption`` may end it until it commits.
    Whatever happens, readers see the previous snapshot or the new one, and the ledger says which. Raises the errors of
    ``kizami.errors``.
    """
    interruption = interruption or Interruption()
    corpus = config.corpus(request.corpus)
    started = now()
    day = _business_date(request, corpus, started.astimezone(config.timezone).date()).isoformat()
    store = open_store(config.store)
    entry = RunEntry(
        run=new_id(started),
        verb="run",
        corpus=corpus.name,
        date=day,
        state=State.STARTED,
        stage="lock",
        started_at=timestamp(started),
        versions=_versions(),
    )
    with undertaking(store, config.lock, entry, say=progress.say, sleep=interruption.sleep) as held:
        corpus = replace(corpus, source=corpus.source.replace("{date}", day))
        pointer = _Run(store, held.lease, held.record, progress, interruption, request, corpus).perform(address)
    return RunResult(held.record.entry, pointer, config.store)


@dataclass
class _Run:
    """One run while it holds the lock."""

    store: ObjectStore
    lease: Lease
    record: RunRecord
    progress: Progress
    interruption: Interruption
    request: RunRequest
    corpus: CorpusConfig
    """Its source is that of the business date."""

    def perform(self, address: str | None) -> Pointer:
        """Make and publish the snapshot; the pointer to it, or to the one that was made of the same input."""
        entry = self.record.entry
        self.progress.say(f"run {entry.run}: corpus {entry.corpus}, business date {entry.date}")
        files = list_files(self.corpus.source)
        self.record.note(fingerprint=fingerprint(bundled_dictionary(), self.corpus.normalisation))
        with self.record.stage("ray"):
            session = connected(address)
            session.__enter__()
        try:
            return self._perform(files)
        except ray.exceptions.RayError as error:
            raise cluster_error(error) from error
        finally:
            self.progress.end_texts()
            session.__exit__(None, None, None)

    def _perform(self, files: Sequence[SourceFile]) -> Pointer:
        with self.record.stage("read"):
            corpus = read_corpus(files, self.corpus, self._may_go_on)
            documents = len(corpus.doc_ids)
            self.record.count(documents=documents, texts=corpus.texts)
        self.progress.say(f"read {documents:,} documents, {corpus.texts:,} texts; files: {len(files):,}")
        input_digest = self._input_digest(corpus.input_digest)
        if (published := self._published(input_digest)) is not None:
            pointer, manifest = published
            self.record.note(snapshot=pointer.snapshot)
            self.record.end(State.UNCHANGED)
            self._clear_staging(manifest)  # its run may have died after its commit
            self._clean()
            return pointer
        with self.record.stage("analyse"):
            parts = self._build(corpus, [file.url for file in files])
        quarantine = self._quarantine(parts)
        self._check()
        self._judge(corpus, parts)
        with self.record.stage("assemble"):
            manifest = self._assemble(files, parts, input_digest, quarantine)
        self._may_go_on()
        if self.request.candidate or closed(manifest.gates):
            return self._leave(manifest)
        with self.record.stage("publish"):
            pointer = self.lease.commit(pointer_to(manifest, timestamp(now())))
        self.record.note(snapshot=pointer.snapshot)
        self.record.end(State.PUBLISHED)
        self._clear_staging(manifest)
        self._clean()
        return pointer

    def _leave(self, manifest: Manifest) -> Pointer:
        """End with the snapshot in the store, unpublished. Raises GateClosedError unless that was asked for."""
        self.record.note(snapshot=manifest.snapshot)
        self._clear_staging(manifest)  # what failed in it is to be tried again
        if not self.request.candidate:
            with self.record.stage("gates"):
                require_open(manifest)
        self.record.end(State.CANDIDATE)
        self._clean()
        return pointer_to(manifest, "")

    def _may_go_on(self) -> None:
        """Raise LockLostError or InterruptedRunError where the run must not go on."""
        self.lease.check()
        self.interruption.check()

    def _input_digest(self, rows: int) -> str:
        decisive = {
            "rows": f"{rows:064x}",
            "fingerprint": self.record.entry.fingerprint,
            "columns": v1.SCHEMA.names,
            "id": self.corpus.id_column,
            "fields": self.corpus.fields,
            "part_bytes": self.corpus.part_bytes,
        }
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()

    def _published(self, input_digest: str) -> tuple[Pointer, Manifest] | None:
        """The business date's pointer and manifest, if its snapshot was made of this input."""
        pointer = find_pointer(self.store, self.corpus.name, self.record.entry.date)
        if pointer is None:
            return None
        manifest = read_manifest(self.store, pointer)
        return (pointer, manifest) if manifest.input_digest == input_digest else None

    def _build(self, corpus: Corpus, files: Sequence[str]) -> list[BuiltPart]:
        """Build all parts on the cluster; they come in the order of their bounds."""
        predecessor = self.lease.predecessor
        previous = read_manifest(self.store, predecessor).bounds if predecessor else None
        bounds = corpus.bounds(previous, self.corpus.part_bytes)
        entry = self.record.entry
        jobs = part_jobs(self.corpus, entry.run, files, bounds, entry.fingerprint or "")
        self.progress.start_texts(corpus.texts)
        with probed(self.store, self.corpus.name, entry.run) as shared:
            blocks = corpus.take_blocks()
            built = build_parts(
                jobs,
                blocks,
                self.corpus,
                shared,
                progress=self.progress,
                check=self._may_go_on,
                on_loss=self._note_loss,
            )
        self.progress.end_texts()
        self._count(built)
        return [report.part for report in built]

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
        self.record.note(
            peak_worker_bytes=max(report.peak_bytes for report in built),
            worker_seconds=round(sum(report.seconds for report in built), 3),
        )

    def _note_loss(self, part: int, what: str) -> None:
        self.record.note(failed_attempts=(*self.record.entry.failed_attempts, FailedAttempt(part, what)))

    def _quarantine(self, parts: Sequence[BuiltPart]) -> str | None:
        """Write what was held back; return its key."""
        held = self.record.entry.counts.quarantined
        if not held:
            return None
        self.record.note(quarantined_by_reason=count(parts).quarantined_by_reason)
        key = layout.quarantine_key(self.corpus.name, self.record.entry.run)
        self.store.put(key, to_parquet(part.quarantined for part in parts))
        self.progress.say(f"{held:,} texts could not be analysed; they are in {self.store.url}/{key}")
        return key

    def _check(self) -> None:
        """Raise DataError where there is nothing to publish."""
        counts = self.record.entry.counts
        if counts.rows:
            return
        if counts.quarantined:
            raise DataError(f"all {counts.quarantined:,} texts of {self.corpus.source} were held back: see quarantine/")
        if not counts.texts and not self.request.allow_empty:
            raise DataError(f"{self.corpus.source} has no texts to publish; give --allow-empty if that is right")

    def _judge(self, corpus: Corpus, parts: Sequence[BuiltPart]) -> None:
        """Note the verdict of every gate."""
        found = figures(parts, corpus.texts)
        gates = verdicts(self.store, self.lease, self.record.entry.date, found, self.corpus.gates)
        self.record.note(gates=gates)
        self.progress.say(f"gates: {render_gates(gates)}")

    def _assemble(
        self, files: Sequence[SourceFile], parts: Sequence[BuiltPart], input_digest: str, quarantine: str | None
    ) -> Manifest:
        """Put the parts into the snapshot's folder and write its manifest."""
        entry = self.record.entry
        moment = now()
        snapshot = new_id(moment)
        entries = assemble(self.store, self.corpus.name, snapshot, parts)
        manifest = Manifest(
            schema=f"{v1.MAJOR}.{v1.MINOR}",
            corpus=self.corpus.name,
            snapshot=snapshot,
            date=entry.date,
            created_at=timestamp(moment),
            fingerprint=entry.fingerprint or "",
            input_digest=input_digest,
            counts=count(parts),
            parts=entries,
            quarantine=quarantine,
            provenance=self._provenance(files),
            gates=entry.gates,
            predecessor=self.lease.predecessor.snapshot if self.lease.predecessor else None,
            after_commit=self.lease.last_commit.n if self.lease.last_commit else 0,
        )
        self.store.put(layout.manifest_key(self.corpus.name, snapshot), json_form.encode(manifest))
        return manifest

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

    def _clean(self) -> None:
        """Carry retention out. The run has done its work: what goes wrong here is for the next run or `kizami gc`."""
        terms = Terms(dates=self.corpus.retention_dates, spared=frozenset({self.record.entry.date}))
        try:
            done = clean(self.store, self.lease, self.corpus.name, terms)
        except Exception as error:  # whatever it is, the snapshot is published
            self.progress.say(f"retention was not carried out, the next run tries again: {error}")
        else:
            if done.did_anything:
                self.progress.say(f"retention: {done}")

    def _clear_staging(self, manifest: Manifest) -> None:
        """Remove what is in the snapshot now. A store that is away keeps it a while longer; nobody reads it."""
        with suppress(UnavailableError):
            self.store.delete(layout.staging_key(self.corpus.name, part.key) for part in manifest.parts)


def _business_date(request: RunRequest, corpus: CorpusConfig, today: date) -> date:
    day = request.date or today
    if day != today and "{date}" not in corpus.source and not request.as_of_now:
        raise ConfigurationError(
            f"the source of {corpus.name} has no {{date}} in it, so it is that of today, {today}, not of {day}: "
            "give --as-of-now to publish it under that date all the same"
        )
    return day


def _versions() -> Mapping[str, str]:
    packages = ("kizami", "pyarrow", "fugashi", "ray")
    return {
        **{name: version(name) for name in packages},
        "python": platform.python_version(),
        "dictionary": bundled_dictionary().name,
    }
