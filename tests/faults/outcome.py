"""What came of a fault: the rows readers have now against those they should have, and what the ledger tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kizami.ledger import RunEntry


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One entry of the ledger, as far as it tells of the fault."""

    state: str
    stage: str
    exit_code: int | None
    error: str | None
    failed_attempts: dict[str, int]
    """Attempts at parts that failed, by what became of them."""
    parts: int
    parts_found: int
    """Parts that an earlier run or attempt had finished."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the fault table."""

    fault: str
    codes: tuple[int, ...]
    """Exit codes of the runs, in the order of their ends."""
    said: tuple[str, ...]
    """The last line of each on stderr."""
    published: str
    """Business date of the snapshot that readers have at the end."""
    rows: int
    lost: int
    """Rows that the source has and the snapshot has not."""
    doubled: int
    """Rows that are there more often than once."""
    foreign: int
    """Rows that the source has not."""
    same_tokens: bool
    """Whether the snapshot is that of an undisturbed run, in all columns."""
    reads: int
    disturbed: list[str]
    """Readings that were no whole snapshot."""
    store_away: int
    """Readings that failed because the store itself was away."""
    ledger: list[LedgerLine]

    @property
    def is_right(self) -> bool:
        """Whether the snapshot is whole and right, and no reader noticed anything."""
        return self.same_tokens and not (self.lost or self.doubled or self.foreign or self.disturbed)


def comparison(expected: Counter[Any], found: Counter[Any]) -> tuple[int, int, int]:
    """Rows lost, doubled, and foreign."""
    surplus = found - expected
    doubled = sum(count for row, count in surplus.items() if row in expected)
    return (expected - found).total(), doubled, surplus.total() - doubled


def told(entries: Sequence[RunEntry]) -> list[LedgerLine]:
    """What the entries tell, the oldest first."""
    return [
        LedgerLine(
            state=str(entry.state),
            stage=entry.stage,
            exit_code=entry.exit_code,
            error=entry.error.name if entry.error else None,
            failed_attempts=dict(Counter(_briefly(attempt.what) for attempt in entry.failed_attempts)),
            parts=entry.counts.parts,
            parts_found=entry.counts.parts_reused,
        )
        for entry in entries
    ]


def _briefly(what: str) -> str:
    """What became of an attempt, without the URLs that a message of the store has in it."""
    if "://" in what:
        return "the store did not answer"
    return what.partition(" (")[0].partition(";")[0]
