"""The daily job: take the lock, read the source, build the parts on Ray, check, publish."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from importlib.metadata import version
from typing import Any, Final

import ray.exceptions

from kizami import json_form, layout
from kizami.aftermath import after_run
from kizami.analysis.dictionary import ANALYSIS_VERSION, bundled_dictionary, fingerprint
from kizami.analysis.user_dictionary import UserDictionary, inspect, read_user_dictionary
from kizami.assembly import assemble, count, figures
from kizami.candidates import require_open, verdicts
from kizami.cleaning import clean
from kizami.config import Config, CorpusConfig
from kizami.deadline import Deadline
from kizami.derivation import versions_of
from kizami.errors import (
    ConfigurationError,
    DataError,
    DeadlineError,
    InterruptedRunError,
    KizamiError,
    LockLostError,
    UnavailableError,
)
from kizami.gates import closed, render_gates
from kizami.last_resort import LastResort
from kizami.lease import Lease
from kizami.ledger import FailedAttempt, RunEntry, State
from kizami.log import without_credentials
from kizami.manifest import Manifest, Provenance, pointer_to
from kizami.part_builder import BuiltPart, copied_part
from kizami.parts import WHOLE
from kizami.pointer import Pointer
from kizami.predecessor import Predecessor, plan_parts
from kizami.quarantine import to_parquet
from kizami.readers import find_pointer, has_versions, manifests_beside, read_manifest
from kizami.record import RunRecord, new_id, now, timestamp
from kizami.renewal import NOTHING, Renewal
from kizami.retention import Terms
from kizami.signals import Interruption
from kizami.sources import Origin, SourceFile, SourcePart
from kizami.stores import ObjectStore, open_store
from kizami.suppression import Suppression, read_suppression
from kizami.undertaking import undertaking
from kizami_jobs.building import build_parts, derive_parts, part_jobs, probed
from kizami_jobs.cluster import cluster_error, connected
from kizami_jobs.progress import Progress
from kizami_jobs.reading import Corpus, read_corpus
from kizami_jobs.reruns import collect
from kizami_jobs.tasks import WorkerReport
from kizami_jobs.waiting import await_source, open_corpus
from kizami_schemas import v1
from kizami_schemas.versions import V1, SchemaVersion

_NAMED: Final = 20
"""Ids that an error names."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked of a run."""

    corpus: str
    date: date | None = None
    """Business date; None: today in the configured time zone."""
    as_of_now: bool = False
    """Whether another date than today may be given to a source that is only ever "now"."""
    allow_empty: bool = False
    wait_seconds: float = 0
    """How long a source that is not there yet is waited for."""
    verb: str = "run"
    renewal: Renewal = NOTHING
    """What is analysed again though it did not change."""
    candidate: bool = False
    """Whether to stop before the commit: the snapshot is complete in the store, and no reader sees it."""
    run: str | None = None
    """The run's id where it was submitted; its date was fixed then, and is that of the source. None: a new one."""
    user: UserDictionary | None = None
    """The corpus's own words where they came with a submission; None: they are read as configured."""


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
    check_field(request.renewal, corpus)
    day = business_date(request, corpus, now().astimezone(config.timezone).date()).isoformat()
    if request.wait_seconds:
        await_source(corpus.of_date(day), request.wait_seconds, say=progress.say, sleep=interruption.sleep)
    started = now()
    store = open_store(config.store)
    entry = RunEntry(
        run=request.run or new_id(started),
        verb=request.verb,
        outcome=str(request.renewal) if request.verb == "reprocess" else None,
        corpus=corpus.name,
        date=day,
        state=State.STARTED,
        stage="lock",
        started_at=timestamp(started),
        versions=_versions(),
        schemas=corpus.schemas,
        process=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
    )
    corpus = corpus.of_date(day)
    progress.begin(entry, parameters(config, corpus, request, address))

    def on_end(closed: RunEntry) -> None:
        progress.finish(closed)
        after_run(config, store, progress.say, closed)

    with undertaking(store, config.lock, entry, say=progress.say, sleep=interruption.sleep, on_end=on_end) as held:
        versions = versions_of(corpus.schemas)
        run = _Run(store, held.lease, held.record, progress, interruption, request, corpus, versions)
        run.deadline = Deadline(corpus.time_limit_seconds, corpus.expected_seconds, on_late=run.tell_late)
        with LastResort(held, run.stop, announce=progress.finish):
            pointer = run.perform(address)
    return RunResult(held.record.entry, pointer, config.store)


def parameters(config: Config, corpus: CorpusConfig, request: RunRequest, address: str | None) -> dict[str, Any]:
    """What a run is made with, for its log, without a secret."""
    made_with = asdict(replace(corpus, source=without_credentials(corpus.source)))
    return {
        "store": config.store,
        "ray": address or "local",
        "as_of_now": request.as_of_now,
        "allow_empty": request.allow_empty,
        "candidate": request.candidate,
        "again": None if request.renewal.asks_nothing else str(request.renewal),
        **{name: value for name, value in made_with.items() if name not in {"name", "gates"}},
    }


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
    versions: tuple[SchemaVersion, ...] = ()
    """The versions of the schema that are published beside the first."""
    user: UserDictionary | None = None
    """The corpus's own words, read when the run starts."""
    suppressed: int = 0
    """Length of the suppression list, read under the lock."""
    snapshot: str | None = None
    """The snapshot whose parts are being put together."""
    has_manifest: bool = False
    """Whether it has its manifest, with which it is a candidate."""
    deadline: Deadline = field(default_factory=Deadline)

    def tell_late(self, line: str) -> None:
        """The run takes longer than expected."""
        self.progress.warn(line)
        self.record.note(late_since=timestamp(now()))
        self._write()

    def stop(self) -> KizamiError | None:
        """Why the run should stop, if it should."""
        return self.interruption.error or self.deadline.error

    def _write(self) -> None:
        """Write the entry at once, for whoever looks from outside; if the store is away, with the next stage."""
        with suppress(UnavailableError):
            self.record.ledger.write(self.record.entry)

    def perform(self, address: str | None) -> Pointer:
        """Make and publish the snapshot; the pointer to it, or to the one that was made of the same input."""
        entry = self.record.entry
        self.progress.say(f"run {entry.run}: corpus {entry.corpus}, business date {entry.date}")
        with closing(open_corpus(self.corpus, self.interruption.sleep)) as origin:
            return self._perform_on(address, origin)

    def _perform_on(self, address: str | None, origin: Origin) -> Pointer:
        self._take_dictionary()
        with self.record.stage("ray"):
            session = connected(address, self.progress.others)
            session.__enter__()
        try:
            return self._perform(origin)
        except ray.exceptions.RayError as error:
            raise cluster_error(error) from error
        except (LockLostError, InterruptedRunError, DeadlineError) as error:
            self._take_back(error)
            raise
        finally:
            self.progress.end_texts()
            session.__exit__(None, None, None)

    def _perform(self, origin: Origin) -> Pointer:
        with self.record.stage("read"):
            predecessor = self._predecessor()
            bounds = predecessor.manifest.bounds if predecessor else WHOLE
            ids = self.request.renewal.ids
            suppression = read_suppression(self.store, self.corpus.name)
            self.suppressed = len(suppression)
            corpus = read_corpus(
                origin,
                self.corpus,
                self._may_go_on,
                bounds=bounds,
                ids=ids,
                suppression=suppression,
                on_loss=self._note_loss,
                say=self.progress.say,
            )
            self._note_reruns()
            documents = len(corpus.doc_ids)
            self.record.count(documents=documents, texts=corpus.texts, forgotten=corpus.forgotten)
        self.progress.say(describe(corpus))
        check_ids(self.request.renewal, corpus, self.corpus, suppression)
        input_digest = digest_of_input(corpus, self.corpus, self.record.entry.fingerprint or "")
        if self.request.renewal.asks_nothing and (published := self._published(input_digest)) is not None:
            pointer, manifest = published
            self.record.note(snapshot=pointer.snapshot)
            self.record.end(State.UNCHANGED)
            # Its run may have died after its commit.
            self._clear_staging([manifest, *manifests_beside(self.store, pointer, self.versions)])
            self._clean()
            return pointer
        with self.record.stage("analyse"):
            parts, digests = self._build(corpus, [part.url for part in corpus.parts], predecessor)
        quarantine = self._quarantine(parts)
        self._check()
        self._judge(corpus, parts)
        with self.record.stage("assemble"):
            manifest, *others = self._assemble(corpus.parts, parts, digests, input_digest, quarantine)
        self._may_go_on()
        if self.request.candidate or closed(manifest.gates):
            self._clear_staging([manifest, *others])  # what failed in it is to be tried again
            return self._leave(manifest)
        with self.record.stage("publish"):
            pointer = self.lease.commit(pointer_to(manifest, timestamp(now())), [other.major for other in others])
        self.record.note(snapshot=pointer.snapshot)
        self.record.end(State.PUBLISHED)
        self._clear_staging([manifest, *others])
        self._clean()
        return pointer

    def _take_dictionary(self) -> None:
        """Read the user dictionary, if there is one, and note what the tokens will be made with. Raises
        ConfigurationError for a line of it that is at fault."""
        dictionary = bundled_dictionary()
        if self.corpus.user_dictionary is not None:
            with self.record.stage("dictionary"):
                self.user = self.request.user or read_user_dictionary(self.corpus.user_dictionary)
                self.progress.say(inspect(self.user, dictionary.folder, self.corpus.normalisation))
            dictionary = dictionary.with_words(self.user)
        self.record.note(
            fingerprint=fingerprint(dictionary, self.corpus.normalisation),
            versions={**self.record.entry.versions, "dictionary": dictionary.name},
        )

    def _leave(self, manifest: Manifest) -> Pointer:
        """End with the snapshot in the store, unpublished. Raises GateClosedError unless that was asked for."""
        self.record.note(snapshot=manifest.snapshot)
        if not self.request.candidate:
            with self.record.stage("gates"):
                require_open(manifest)
        self.record.end(State.CANDIDATE)
        self._clean()
        return pointer_to(manifest, "")

    def _take_back(self, error: KizamiError) -> None:
        """Remove what nobody can use, all of it this run's own: parts of a snapshot without a manifest. After the lock
        was lost a take-down may have searched the store already, so of what was read before nothing may stay."""
        if self.has_manifest:
            return
        corpus = self.corpus.name
        keys = [layout.quarantine_key(corpus, self.record.entry.run)] if isinstance(error, LockLostError) else []
        with suppress(UnavailableError):
            for each in (V1, *self.versions) if self.snapshot else ():
                prefix = layout.snapshot_prefix(corpus, self.snapshot or "", each.major)
                keys += [info.key for info in self.store.list(prefix)]
            self.store.delete(keys)

    def _may_go_on(self) -> None:
        """Raise LockLostError, InterruptedRunError or DeadlineError where the run must not go on."""
        self.lease.check()
        self.interruption.check()
        self.deadline.check()

    def _predecessor(self) -> Predecessor | None:
        pointer = self.lease.predecessor
        if pointer is None:
            return None
        manifest = read_manifest(self.store, pointer)
        others = manifests_beside(self.store, pointer, self.versions)
        return Predecessor(manifest, self.record.entry.fingerprint or "", self.corpus.fields, others)

    def _published(self, input_digest: str) -> tuple[Pointer, Manifest] | None:
        """The business date's pointer and manifest, if its snapshot was made of this input, in all versions."""
        pointer = find_pointer(self.store, self.corpus.name, self.record.entry.date)
        if pointer is None or not has_versions(self.store, pointer, self.corpus.schemas):
            return None
        manifest = read_manifest(self.store, pointer)
        return (pointer, manifest) if manifest.input_digest == input_digest else None

    def _build(
        self, corpus: Corpus, files: Sequence[str], predecessor: Predecessor | None
    ) -> tuple[list[BuiltPart], list[str]]:
        """Build on the cluster what is not the predecessor's; the parts, in the order of their bounds, and the input
        digest of each."""
        entry, renewal = self.record.entry, self.request.renewal
        bounds = corpus.bounds(predecessor.manifest.bounds if predecessor else None, self.corpus.part_bytes)
        planned = plan_parts(bounds, predecessor, corpus.digests, renewal)
        jobs = part_jobs(
            self.corpus,
            entry.run,
            files,
            planned,
            fingerprint=entry.fingerprint or "",
            renewal=renewal,
            lines_before=corpus.lines_before,
        )
        copied = [(part.number, part.copied) for part in planned if part.copied]
        parts = [copied_part(number, previous) for number, previous in copied]
        digests = {number: previous.entry.input_digest or "" for number, previous in copied}
        blocks = corpus.take_blocks()
        built: list[WorkerReport] = []
        if jobs:
            self.progress.start_texts(corpus.texts - corpus.forgotten - sum(part.texts for part in parts))
            with probed(self.store, self.corpus.name, entry.run) as shared:
                built, sums = build_parts(
                    jobs,
                    bounds,
                    blocks,
                    self.corpus,
                    shared,
                    user=self.user,
                    versions=self._names,
                    progress=self.progress,
                    check=self._may_go_on,
                    on_loss=self._note_loss,
                )
            self.progress.end_texts()
            digests |= {job.number: sums[job.number] for job in jobs}
            parts += [report.part for report in built]
        parts = sorted(self._derived(parts), key=lambda part: part.number)
        self._note_reruns()
        self._count(parts, built)
        return parts, [digests[part.number] for part in parts]

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.versions)

    def _derived(self, parts: Sequence[BuiltPart]) -> list[BuiltPart]:
        """The parts, each with what it is in the other versions of the schema: those that are copied lack it where the
        predecessor does."""
        whole = [part for part in parts if len(part.derived) == len(self.versions)]
        lacking = [part for part in parts if len(part.derived) < len(self.versions)]
        if lacking:
            self.progress.say(f"parts to be derived from unchanged ones: {len(lacking):,}")
            run = self.record.entry.run
            with probed(self.store, self.corpus.name, run) as shared:
                lacking = derive_parts(
                    lacking,
                    self.corpus.name,
                    run,
                    self._names,
                    shared,
                    check=self._may_go_on,
                    on_loss=self._note_loss,
                )
        return [*whole, *lacking]

    def _count(self, parts: Sequence[BuiltPart], built: Sequence[WorkerReport]) -> None:
        self.record.count(
            parts=len(parts),
            parts_copied=sum(part.copied_from is not None for part in parts),
            parts_reused=sum(part.reused for part in parts),
            parts_analysed=sum(not part.reused and part.copied_from is None for part in parts),
            parts_derived=sum(each.copied_from is None for part in parts for each in part.derived),
            texts_analysed=sum(part.analysed for part in parts),
            texts_reused=sum(part.taken_over for part in parts),
            rows=sum(part.report.rows for part in parts),
            tokens=sum(part.report.tokens for part in parts),
            quarantined=sum(len(part.quarantined) for part in parts),
        )
        if built:
            self.record.note(
                peak_worker_bytes=max(report.peak_bytes for report in built),
                worker_seconds=round(sum(report.seconds for report in built), 3),
                worker_cpu_seconds=round(sum(report.cpu_seconds for report in built), 3),
            )

    def _note_loss(self, failed: FailedAttempt) -> None:
        if failed.part is None:
            self.progress.warn(f"{failed.what}; trying it again after {failed.wait_seconds:g} s")
        self.record.note(failed_attempts=(*self.record.entry.failed_attempts, failed))
        self._write()

    def _note_reruns(self) -> None:
        """Note what Ray did again by itself."""
        reruns = tuple(FailedAttempt(None, what) for what in collect())
        if reruns:
            self.record.note(failed_attempts=(*self.record.entry.failed_attempts, *reruns))

    def _quarantine(self, parts: Sequence[BuiltPart]) -> str | None:
        """Write what was held back; return its key."""
        held = self.record.entry.counts.quarantined
        if not held:
            return None
        self.record.note(quarantined_by_reason=count(parts).quarantined_by_reason)
        self._may_go_on()
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
            raise DataError(
                f"all {counts.quarantined:,} texts of {self.corpus.source_name} were held back: see quarantine/"
            )
        if counts.texts == counts.forgotten and not self.request.allow_empty:
            raise DataError(f"{self.corpus.source_name} has no texts to publish; give --allow-empty if that is right")

    def _judge(self, corpus: Corpus, parts: Sequence[BuiltPart]) -> None:
        """Note the verdict of every gate."""
        found = figures(parts, corpus.texts, corpus.forgotten)
        gates = verdicts(self.store, self.lease, self.record.entry.date, found, self.corpus.gates)
        self.record.note(gates=gates)
        self.progress.say(f"gates: {render_gates(gates)}")

    def _assemble(
        self,
        files: Sequence[SourcePart],
        parts: Sequence[BuiltPart],
        digests: Sequence[str],
        input_digest: str,
        quarantine: str | None,
    ) -> list[Manifest]:
        """Put the parts into the snapshot's folders and write its manifests, one a version of the schema; that of the
        first one, which is returned first, is written last."""
        entry = self.record.entry
        moment = now()
        self.snapshot = snapshot = new_id(moment)
        entries = assemble(self.store, self.corpus.name, snapshot, parts, digests, check=self._may_go_on)
        manifest = Manifest(
            schema=V1.name,
            corpus=self.corpus.name,
            snapshot=snapshot,
            date=entry.date,
            created_at=timestamp(moment),
            fingerprint=entry.fingerprint or "",
            input_digest=input_digest,
            counts=count(parts, entry.counts.forgotten),
            parts=entries,
            quarantine=quarantine,
            provenance=self._provenance(files),
            gates=entry.gates,
            predecessor=self.lease.predecessor.snapshot if self.lease.predecessor else None,
            after_commit=self.lease.last_commit.n if self.lease.last_commit else 0,
            suppressed=self.suppressed,
        )
        manifests = [manifest]
        for other in self.versions:
            own = [part.in_schema(other.major) for part in parts]
            entries = assemble(
                self.store, self.corpus.name, snapshot, own, digests, schema=other.major, check=self._may_go_on
            )
            manifests.append(replace(manifest, schema=other.name, parts=entries))
        self._may_go_on()
        for each in reversed(manifests):
            self.store.put(layout.manifest_key(self.corpus.name, snapshot, each.major), json_form.encode(each))
        self.has_manifest = True
        return manifests

    def _provenance(self, files: Sequence[SourcePart]) -> Provenance:
        return Provenance(
            run=self.record.entry.run,
            source=self.corpus.source_name,
            source_files=len({file.url for file in files}),
            source_bytes=sum({file.url: file.size_bytes for file in files}.values()),
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
        if self.suppressed:
            # A run that stopped before a take-down and was killed after it may have left some of the documents there.
            terms = replace(terms, staging_seconds=0.0, fragment_seconds=0.0)
        try:
            done = clean(self.store, self.lease, self.corpus.name, terms, self._may_go_on)
        except (InterruptedRunError, DeadlineError):
            self.progress.say("retention was put off to the next run, because this one was to stop")
        except Exception as error:  # whatever it is, the snapshot is published
            self.progress.say(f"retention was not carried out, the next run tries again: {error}")
        else:
            if done.did_anything:
                self.progress.say(f"retention: {done}")

    def _clear_staging(self, manifests: Sequence[Manifest]) -> None:
        """Remove what is in the snapshot now. A store that is away keeps it a while longer; nobody reads it."""
        keys = [part.key for manifest in manifests for part in manifest.parts]
        with suppress(UnavailableError):
            self.store.delete(layout.staging_key(self.corpus.name, key) for key in keys)


def business_date(request: RunRequest, corpus: CorpusConfig, today: date) -> date:
    """The date asked for, else today. Raises ConfigurationError where the source is not that date's."""
    day = request.date or today
    if request.run is None and day != today and not corpus.dated and not request.as_of_now:
        raise ConfigurationError(
            f"the source of {corpus.name} has no {{date}} in it, so it is that of today, {today}, not of {day}: "
            "give --as-of-now to publish it under that date all the same"
        )
    return day


def digest_of_input(corpus: Corpus, config: CorpusConfig, fingerprint: str) -> str:
    """The digest of all that decides a snapshot."""
    decisive = {
        "rows": corpus.input_digest,
        "fingerprint": fingerprint,
        "columns": v1.SCHEMA.names,
        "id": config.id_column,
        "fields": config.fields,
        "part_bytes": config.part_bytes,
    }
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


def check_field(renewal: Renewal, corpus: CorpusConfig) -> None:
    """Raise ConfigurationError for a field that the corpus does not have."""
    if renewal.field is not None and renewal.field not in corpus.fields:
        raise ConfigurationError(
            f"corpus {corpus.name} has no field {renewal.field!r}; its fields are {', '.join(corpus.fields)}"
        )


def describe(read: Corpus) -> str:
    """What was read, in a line."""
    from_files = all(isinstance(part, SourceFile) for part in read.parts)
    kind, number = ("files", len({part.url for part in read.parts})) if from_files else ("ranges", len(read.parts))
    forgotten = f", {read.forgotten:,} of them forgotten" if read.forgotten else ""
    return f"read {len(read.doc_ids):,} documents, {read.texts:,} texts{forgotten}; {kind}: {number:,}"


def check_ids(renewal: Renewal, read: Corpus, corpus: CorpusConfig, suppression: Suppression) -> None:
    """Raise DataError naming the ids that the source does not have; one that is to be forgotten is not named again."""
    if forgotten := sum(map(suppression.holds, renewal.ids)):
        raise DataError(
            f"{forgotten:,} of the {len(renewal.ids):,} ids given for {corpus.name} are of documents that "
            "`kizami forget` took down: nothing was analysed; take them out and run it again"
        )
    absent = [doc_id for doc_id in renewal.ids if doc_id not in read.named]
    if absent:
        more = f" and {len(absent) - _NAMED:,} more" if len(absent) > _NAMED else ""
        raise DataError(
            f"{corpus.source_name} has no document {', '.join(map(repr, absent[:_NAMED]))}{more}: nothing was "
            "analysed; correct the ids and run it again"
        )


def _versions() -> Mapping[str, str]:
    packages = ("kizami", "pyarrow", "fugashi", "ray")
    return {
        **{name: version(name) for name in packages},
        "python": platform.python_version(),
        "dictionary": bundled_dictionary().name,
    }
