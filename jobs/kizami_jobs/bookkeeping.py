"""Bookkeeping: what a run notes of itself in its ledger's entry while it goes on."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version

from kizami.analysis.dictionary import bundled_dictionary
from kizami.errors import UnavailableError
from kizami.ledger import FailedAttempt
from kizami.part_builder import BuiltPart
from kizami.record import RunRecord, now, timestamp
from kizami_jobs.progress import Progress
from kizami_jobs.reading import Corpus
from kizami_jobs.reruns import collect
from kizami_jobs.tasks import WorkerReport


@dataclass(frozen=True, slots=True)
class Bookkeeping:
    """Keeps the entry of one run; what somebody should see at once is told and written at once."""

    record: RunRecord
    progress: Progress

    def late(self, line: str) -> None:
        """The run takes longer than expected."""
        self.progress.warn(line)
        self.record.note(late_since=timestamp(now()))
        self._write()

    def loss(self, failed: FailedAttempt) -> None:
        """An attempt failed, and another one will be made."""
        if failed.part is None:
            self.progress.warn(f"{failed.what}; trying it again after {failed.wait_seconds:g} s")
        self._failed(failed)
        self._write()

    def reruns(self) -> None:
        """What Ray did again by itself since the last time; written with the next stage."""
        self._failed(*(FailedAttempt(None, what) for what in collect()))

    def source(self, corpus: Corpus) -> None:
        """What was read."""
        self.record.count(documents=len(corpus.doc_ids), texts=corpus.texts, forgotten=corpus.forgotten)

    def parts(self, parts: Sequence[BuiltPart], built: Sequence[WorkerReport]) -> None:
        """All parts of the snapshot, and what the workers took for those that they built."""
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

    def _failed(self, *attempts: FailedAttempt) -> None:
        self.record.note(failed_attempts=(*self.record.entry.failed_attempts, *attempts))

    def _write(self) -> None:
        """For whoever looks from outside; if the store is away, with the next stage."""
        with suppress(UnavailableError):
            self.record.ledger.write(self.record.entry)


def installed_versions() -> Mapping[str, str]:
    """What takes part in a run on this host, by name."""
    packages = ("kizami", "pyarrow", "fugashi", "ray")
    return {
        **{name: version(name) for name in packages},
        "python": platform.python_version(),
        "dictionary": bundled_dictionary().name,
    }
