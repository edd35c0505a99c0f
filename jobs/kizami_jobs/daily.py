"""The daily job: take the lock, read the source, build the parts on Ray, check, publish."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace

import ray.exceptions

from kizami import layout
from kizami.aftermath import after_run
from kizami.analysis.dictionary import bundled_dictionary, fingerprint
from kizami.analysis.user_dictionary import UserDictionary, inspect, read_user_dictionary
from kizami.assembly import count, figures
from kizami.candidates import require_open, verdicts
from kizami.cleaning import clean
from kizami.config import Config, CorpusConfig
from kizami.deadline import Deadline
from kizami.derivation import versions_of
from kizami.errors import DeadlineError, InterruptedRunError, KizamiError, LockLostError, UnavailableError
from kizami.gates import closed, render_gates
from kizami.last_resort import LastResort
from kizami.lease import Lease
from kizami.ledger import RunEntry, State
from kizami.manifest import Manifest, pointer_to
from kizami.part_builder import BuiltPart, Done, copied_part
from kizami.parts import WHOLE
from kizami.pointer import Pointer
from kizami.predecessor import Predecessor, plan_parts
from kizami.quarantine import to_parquet
from kizami.readers import find_pointer, has_versions, manifests_beside, read_manifest
from kizami.record import RunRecord, new_id, now, timestamp
from kizami.retention import Terms
from kizami.signals import Interruption
from kizami.snapshot_making import MadeOf, SnapshotMaking
from kizami.sources import Origin
from kizami.stores import ObjectStore, open_store
from kizami.suppression import read_suppression
from kizami.undertaking import undertaking
from kizami_jobs.bookkeeping import Bookkeeping, installed_versions
from kizami_jobs.building import build_parts, derive_parts, part_jobs, probed
from kizami_jobs.cluster import cluster_error, connected
from kizami_jobs.intake import check_ids, describe, digest_of_input, require_rows
from kizami_jobs.progress import Progress
from kizami_jobs.reading import Corpus, read_corpus
from kizami_jobs.request import RunRequest, business_date, check_field, parameters
from kizami_jobs.tasks import WorkerReport
from kizami_jobs.waiting import await_source, open_corpus
from kizami_jobs.warming import warm_up
from kizami_schemas.versions import SchemaVersion


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
        versions=installed_versions(),
        schemas=corpus.schemas,
        process=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
    )
    corpus = corpus.of_date(day)
    progress.begin(entry, parameters(config, corpus, request, address))

    def on_end(closed: RunEntry) -> None:
        progress.finish(closed)
        after_run(config, store, progress.say, closed)

    with undertaking(store, config.lock, entry, say=progress.say, interruption=interruption, on_end=on_end) as held:
        versions = versions_of(corpus.schemas)
        run = _Run(store, held.lease, held.record, progress, interruption, request, corpus, versions)
        run.deadline = Deadline(corpus.time_limit_seconds, corpus.expected_seconds, on_late=run.books.late)
        with LastResort(held, run.stop, announce=on_end):
            pointer = run.perform(address)
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
    versions: tuple[SchemaVersion, ...] = ()
    """The versions of the schema that are published beside the first."""
    user: UserDictionary | None = None
    """The corpus's own words, read when the run starts."""
    suppressed: int = 0
    """Length of the suppression list, read under the lock."""
    making: SnapshotMaking | None = None
    """Set once its parts are put together."""
    deadline: Deadline = field(default_factory=Deadline)
    books: Bookkeeping = field(init=False)

    def __post_init__(self) -> None:
        self.books = Bookkeeping(self.record, self.progress)

    def stop(self) -> KizamiError | None:
        """Why the run should stop, if it should."""
        return self.interruption.error or self.deadline.error or self.lease.loss

    def perform(self, address: str | None) -> Pointer:
        """Make and publish the snapshot; the pointer to it, or to the one that was made of the same input."""
        entry = self.record.entry
        self.progress.say(f"run {entry.run}: corpus {entry.corpus}, business date {entry.date}")
        with self.record.stage("source"):
            opened = open_corpus(self.corpus, self.interruption.sleep)
        with closing(opened) as origin:
            return self._perform_on(address, origin)

    def _perform_on(self, address: str | None, origin: Origin) -> Pointer:
        self._take_dictionary()
        with self.record.stage("ray"):
            session = connected(address, self.progress.others)
            session.__enter__()
        try:
            if not address:
                warm_up()
            return self._perform(origin)
        except ray.exceptions.RayError as error:
            raise cluster_error(error) from error
        except (LockLostError, InterruptedRunError, DeadlineError) as error:
            if isinstance(error, InterruptedRunError):
                self.lease.hurry()
            self.record.fail(error)  # before Ray is left, which may not let go
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
                on_loss=self.books.loss,
                say=self.progress.say,
            )
            self.books.reruns()
            self.books.source(corpus)
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
        require_rows(self.record.entry.counts, self.corpus, allow_empty=self.request.allow_empty)
        self._judge(corpus, parts)
        with self.record.stage("assemble"):
            made_of = MadeOf(corpus.parts, self.request.as_of_now, input_digest, self.suppressed, quarantine)
            self.making = SnapshotMaking(
                self.store, self.lease, self.record.entry, self.corpus, self.versions, self._may_go_on
            )
            manifest, *others = self.making.make(parts, digests, made_of)
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
        """Remove what nobody can use, all of it this run's own. After the lock was lost a take-down may have searched
        the store already, so of what was read before nothing may stay."""
        if self.making and self.making.is_done:
            return
        with suppress(UnavailableError):
            if self.making:
                self.making.take_back()
            if isinstance(error, LockLostError):
                self.store.delete([layout.quarantine_key(self.corpus.name, self.record.entry.run)])

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
            texts = corpus.texts - corpus.forgotten - sum(part.texts for part in parts)
            documents = len(corpus.doc_ids) - sum(part.documents for part in parts)
            self.progress.start_texts(Done(texts, documents))
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
                    on_loss=self.books.loss,
                )
            self.progress.end_texts()
            digests |= {job.number: sums[job.number] for job in jobs}
            parts += [report.part for report in built]
        parts = sorted(self._derived(parts), key=lambda part: part.number)
        self.books.reruns()
        self.books.parts(parts, built)
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
                    on_loss=self.books.loss,
                )
        return [*whole, *lacking]

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

    def _judge(self, corpus: Corpus, parts: Sequence[BuiltPart]) -> None:
        """Note the verdict of every gate."""
        found = figures(parts, corpus.texts, corpus.forgotten)
        gates = verdicts(self.store, self.lease, self.record.entry.date, found, self.corpus.gates)
        self.record.note(gates=gates)
        self.progress.say(f"gates: {render_gates(gates)}")

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
