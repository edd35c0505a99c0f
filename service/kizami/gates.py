"""The gates before publishing: figures of a snapshot in, a verdict on each out. No store, no clock.

Three gates are about the snapshot itself and cannot be forced: behind each there is a bug or a damaged file. The
others compare it with what is usual, and a person may know better.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class GateName(StrEnum):
    """What is judged, and in which unit."""

    RECONCILIATION = "reconciliation"
    """Texts of the source that are neither rows nor in quarantine nor forgotten, or are there without being in it."""
    KEYS = "keys"
    """Rows that are not in their place: a (doc_id, field, position) that is there twice, or out of order."""
    SURFACES = "surfaces"
    """Rows whose tokens do not rebuild their text."""
    ROWS_LOST = "rows_lost"
    """Rows fewer than the nearest earlier date has, as a share of those."""
    ROWS_GAINED = "rows_gained"
    """Rows more than the nearest earlier date has, as a share of those."""
    UNKNOWN = "unknown"
    """Unknown tokens, as a share of all tokens."""
    UNKNOWN_RISE = "unknown_rise"
    """By how much that share is greater than the predecessor's."""
    QUARANTINED = "quarantined"
    """Texts held back, as a share of all texts."""


_SHARES: Final = frozenset(
    {GateName.ROWS_LOST, GateName.ROWS_GAINED, GateName.UNKNOWN, GateName.UNKNOWN_RISE, GateName.QUARANTINED}
)


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate's verdict."""

    name: str
    """A GateName, or one that a newer version of Kizami knows."""
    value: float | None
    """None: there was nothing to compare with."""
    limit: float | None
    """The largest value with which it is open. None: switched off, or there was nothing to compare with."""
    open: bool

    @property
    def can_be_forced(self) -> bool:
        """Whether ``kizami publish --force`` goes past it."""
        return self.name in _SHARES

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name} - (nothing to compare with)"
        limit = "off" if self.limit is None else f"limit {self._shown(self.limit)}"
        return f"{self.name} {self._shown(self.value)} ({limit}{'' if self.open else ', closed'})"

    def _shown(self, figure: float) -> str:
        return f"{100 * figure:.4g} %" if self.can_be_forced else f"{figure:,.0f}"


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of a gate that judges a share."""

    share: float | None
    """None: the gate is always open."""
    few: int = 0
    """So many are never too many, whatever their share; 0 where the configuration sets the limit."""

    def of(self, whole: int) -> float | None:
        """The share that is allowed of ``whole``, at least one."""
        return None if self.share is None else max(self.share, self.few / whole)


@dataclass(frozen=True, slots=True)
class Limits:
    """``[corpora.NAME.gates]``: shares as ``"5%"``, or ``"off"``.

    A limit that is written there holds exactly. The defaults excuse small numbers, because in a small corpus a handful
    of documents is a large share.
    """

    rows_lost: Limit = Limit(0.2, few=20)
    """A fifth, and more than 20 rows. A corpus loses documents a few at a time; a dump that broke off, or a glob that
    misses files, loses them in bulk. A first run, and the first of dates before all others, has nothing to compare
    with."""
    rows_gained: Limit = Limit(0.5, few=1000)
    """A half, and more than 1,000 rows. New documents make a corpus grow, a young one quickly, and too many rows harm
    readers less than missing ones; but a dump that holds everything twice under new ids would be a whole more."""
    unknown: Limit = Limit(0.5)
    """A half. Japanese of all kinds has 0.5 to 6 % unknown tokens, a licence in English 45 %, UTF-8 that was read in
    another encoding 59 to 88 %. So a corpus full of Latin letters passes, and text that is none does not."""
    unknown_rise: Limit = Limit(0.02, few=50)
    """Two points more than the predecessor's share, and more than 50 tokens. A snapshot is the whole corpus, of which a
    day changes little: its share hardly moves, whatever it is, unless a field, an encoding or the dictionary did."""
    quarantined: Limit = Limit(0.05, few=100)
    """A twentieth, and more than 100 texts. Some faulty documents must not keep the sound ones from readers; a producer
    that writes a field otherwise from today on must. Nothing at all but quarantine is never published."""


USUAL: Final = Limits()
"""Those of a corpus whose configuration says nothing of gates."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is judged of a snapshot."""

    source_texts: int
    """Texts that the source was found to have when it was read."""
    part_texts: int
    """Texts that arrived in the parts, and those forgotten."""
    rows: int
    tokens: int
    unknown_tokens: int
    quarantined: int
    misplaced_rows: int
    broken_rows: int
    forgotten: int = 0
    """Texts left out because their document is to be forgotten."""


def judge(figures: Figures, limits: Limits, *, earlier_rows: int | None, earlier_unknown: float | None) -> list[Gate]:
    """The verdict of every gate, in the order of ``GateName``.

    ``earlier_rows`` is the number of rows of the nearest earlier date's snapshot, ``earlier_unknown`` the share of
    unknown tokens of the predecessor; None where there is none, or where it is empty.
    """
    rows, tokens = figures.rows, figures.tokens
    accounted = rows + figures.quarantined + figures.forgotten
    astray = abs(figures.source_texts - figures.part_texts) + abs(figures.part_texts - accounted)
    unknown = figures.unknown_tokens / tokens if tokens else None
    rise = max(0.0, unknown - earlier_unknown) if unknown is not None and earlier_unknown is not None else None
    lost = gained = None
    if earlier_rows:
        lost, gained = max(0, earlier_rows - rows) / earlier_rows, max(0, rows - earlier_rows) / earlier_rows
    held_back = figures.quarantined / accounted if accounted else None
    return [
        _counted(GateName.RECONCILIATION, astray),
        _counted(GateName.KEYS, figures.misplaced_rows),
        _counted(GateName.SURFACES, figures.broken_rows),
        _measured(GateName.ROWS_LOST, lost, limits.rows_lost, earlier_rows),
        _measured(GateName.ROWS_GAINED, gained, limits.rows_gained, earlier_rows),
        _measured(GateName.UNKNOWN, unknown, limits.unknown, tokens),
        _measured(GateName.UNKNOWN_RISE, rise, limits.unknown_rise, tokens),
        _measured(GateName.QUARANTINED, held_back, limits.quarantined, accounted),
    ]


def closed(gates: Iterable[Gate]) -> list[Gate]:
    """Those that are not open."""
    return [gate for gate in gates if not gate.open]


def render_gates(gates: Iterable[Gate]) -> str:
    """All gates in a line: figure and limit of each."""
    return ", ".join(map(str, gates))


def _counted(name: GateName, value: int) -> Gate:
    return Gate(name, value, 0, value == 0)


def _measured(name: GateName, value: float | None, limit: Limit, whole: int | None) -> Gate:
    allowed = limit.of(whole) if whole and value is not None else None
    if allowed is not None and name != GateName.ROWS_GAINED:
        allowed = min(allowed, 1.0)  # no other share can be more than all
    return Gate(name, value, allowed, value is None or allowed is None or value <= allowed)
