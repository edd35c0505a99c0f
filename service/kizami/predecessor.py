"""The predecessor: the snapshot that a run starts from, and what the run takes over from it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kizami import layout
from kizami.derivation import DerivedPart
from kizami.manifest import Manifest, PartEntry
from kizami.partfile import PartReport
from kizami.parts import Bounds
from kizami.renewal import Renewal
from kizami_schemas.versions import V1


@dataclass(frozen=True, slots=True)
class PreviousPart:
    """A part of the predecessor."""

    location: str
    """Its key in the store."""
    entry: PartEntry
    number: int = 0
    upper: str | None = None
    """Where the next one begins; None: it is the last."""
    derived: tuple[DerivedPart, ...] = ()
    """The same in other versions of the schema that the run makes."""


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """A part of the snapshot to be made."""

    number: int
    lower: str
    upper: str | None
    copied: PreviousPart | None
    """The part of the predecessor that it is, to the byte."""
    previous: tuple[PreviousPart, ...]
    """Where it has to be made: the parts whose rows may be taken over, in the order of their bounds."""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A published snapshot, as a later run sees it."""

    manifest: Manifest
    fingerprint: str
    """That of the run."""
    fields: tuple[str, ...]
    """Those of the run."""
    others: tuple[Manifest, ...] = ()
    """Its manifests in other versions of the schema, those that the run makes."""

    @property
    def gives_rows(self) -> bool:
        """Whether equal texts have equal rows: the analysis and the columns are those of the run."""
        return (self.manifest.fingerprint, self.manifest.schema) == (self.fingerprint, V1.name)

    @property
    def gives_parts(self) -> bool:
        """Whether equal input makes equal parts."""
        return self.gives_rows and self.manifest.provenance.fields == self.fields

    def parts(self) -> list[PreviousPart]:
        """Its parts, in the order of their bounds."""
        folder = layout.snapshot_prefix(self.manifest.corpus, self.manifest.snapshot)
        uppers = [*self.manifest.bounds[1:], None]
        derived: dict[str, tuple[DerivedPart, ...]] = {}
        for other in self.others:
            own = layout.snapshot_prefix(other.corpus, other.snapshot, other.major)
            for entry in other.parts:
                part = DerivedPart(other.major, entry.key, report_of(entry), own + entry.name)
                derived[entry.name] = (*derived.get(entry.name, ()), part)
        return [
            PreviousPart(folder + entry.name, entry, number, upper, derived.get(entry.name, ()))
            for number, (entry, upper) in enumerate(zip(self.manifest.parts, uppers, strict=True))
        ]


def report_of(entry: PartEntry) -> PartReport:
    """What was found in a part when it was made."""
    return PartReport(entry.rows, entry.tokens, entry.unknown_tokens, entry.size_bytes, entry.sha256)


def plan_parts(
    bounds: Bounds, predecessor: Predecessor | None, digests: Sequence[str], renewal: Renewal
) -> list[PlannedPart]:
    """The parts of the snapshot to be made, in the order of ``bounds``: copied where nothing changed.

    ``digests`` are the input digests of what the source has today, by the parts of the predecessor. A part that held
    anything back is made anew: its rows of quarantine are, and what could not be analysed is tried again.
    """
    parts = predecessor.parts() if predecessor and predecessor.gives_rows and not renewal.everything else []
    planned = []
    for number, (lower, upper, previous) in enumerate(overlaps(bounds, parts)):
        is_same = (
            len(previous) == 1
            and (lower, upper) == (previous[0].entry.lower, previous[0].upper)
            and previous[0].entry.input_digest == digests[previous[0].number]
            and not previous[0].entry.quarantined
            and predecessor is not None
            and predecessor.gives_parts
            and renewal.within(lower, upper).asks_nothing
        )
        copied = previous[0] if is_same else None
        planned.append(PlannedPart(number, lower, upper, copied, () if copied else previous))
    return planned


def overlaps(
    bounds: Bounds, parts: Sequence[PreviousPart]
) -> Iterator[tuple[str, str | None, tuple[PreviousPart, ...]]]:
    """The ranges of ``bounds``, and those of ``parts`` that may hold documents of each."""
    lowers = [part.entry.lower for part in parts]
    for lower, upper in zip(bounds, [*bounds[1:], None], strict=True):
        first = max(0, bisect_right(lowers, lower) - 1)
        end = len(parts) if upper is None else bisect_left(lowers, upper)
        yield lower, upper, tuple(parts[first:end])
