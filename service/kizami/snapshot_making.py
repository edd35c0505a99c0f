"""Making a snapshot of finished parts: its folders and its manifests, in all versions of the schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kizami import json_form, layout
from kizami.analysis.dictionary import ANALYSIS_VERSION
from kizami.assembly import assemble, count
from kizami.config import CorpusConfig
from kizami.lease import Lease
from kizami.ledger import RunEntry
from kizami.manifest import Manifest, Provenance
from kizami.part_builder import BuiltPart
from kizami.record import new_id, now, timestamp
from kizami.sources import SourcePart
from kizami.stores import ObjectStore
from kizami_schemas.versions import V1, SchemaVersion


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What went into a snapshot beside its parts."""

    source_parts: Sequence[SourcePart]
    as_of_now: bool
    """Whether the source is that of another date than the snapshot's."""
    input_digest: str
    suppressed: int
    """Length of the suppression list."""
    quarantine: str | None
    """Key of what was held back."""


@dataclass
class SnapshotMaking:
    """One snapshot, put together by the run that holds the lock."""

    store: ObjectStore
    lease: Lease
    entry: RunEntry
    """That of the run, its gates judged."""
    corpus: CorpusConfig
    versions: tuple[SchemaVersion, ...]
    """The versions of the schema beside the first."""
    check: Callable[[], None]
    """Raises where the run must not go on."""
    snapshot: str | None = None
    is_done: bool = False
    """Whether it has its manifests, with which it is a candidate."""

    def make(self, parts: Sequence[BuiltPart], digests: Sequence[str], made_of: MadeOf) -> list[Manifest]:
        """Put the parts into the snapshot's folders and write its manifests, one a version of the schema; that of the
        first one, which is returned first, is written last. ``digests`` are the input digests of the parts."""
        entry, corpus = self.entry, self.corpus.name
        moment = now()
        self.snapshot = snapshot = new_id(moment)
        entries = assemble(self.store, corpus, snapshot, parts, digests, check=self.check)
        manifest = Manifest(
            schema=V1.name,
            corpus=corpus,
            snapshot=snapshot,
            date=entry.date,
            created_at=timestamp(moment),
            fingerprint=entry.fingerprint or "",
            input_digest=made_of.input_digest,
            counts=count(parts, entry.counts.forgotten),
            parts=entries,
            quarantine=made_of.quarantine,
            provenance=self._provenance(made_of),
            gates=entry.gates,
            predecessor=self.lease.predecessor.snapshot if self.lease.predecessor else None,
            after_commit=self.lease.last_commit.n if self.lease.last_commit else 0,
            suppressed=made_of.suppressed,
        )
        manifests = [manifest]
        for other in self.versions:
            own = [part.in_schema(other.major) for part in parts]
            entries = assemble(self.store, corpus, snapshot, own, digests, schema=other.major, check=self.check)
            manifests.append(replace(manifest, schema=other.name, parts=entries))
        self.check()
        for each in reversed(manifests):
            self.store.put(layout.manifest_key(corpus, snapshot, each.major), json_form.encode(each))
        self.is_done = True
        return manifests

    def take_back(self) -> None:
        """Remove the folders of a snapshot that has not got its manifests. Raises UnavailableError."""
        if self.snapshot is None or self.is_done:
            return
        keys: list[str] = []
        for version in (V1, *self.versions):
            prefix = layout.snapshot_prefix(self.corpus.name, self.snapshot, version.major)
            keys += [info.key for info in self.store.list(prefix)]
        self.store.delete(keys)

    def _provenance(self, made_of: MadeOf) -> Provenance:
        sizes = {part.url: part.size_bytes for part in made_of.source_parts}
        return Provenance(
            run=self.entry.run,
            source=self.corpus.source_name,
            source_files=len(sizes),
            source_bytes=sum(sizes.values()),
            as_of_now=made_of.as_of_now,
            fields=self.corpus.fields,
            normalisation=str(self.corpus.normalisation),
            part_bytes=self.corpus.part_bytes,
            analysis_version=ANALYSIS_VERSION,
            versions=self.entry.versions,
        )
