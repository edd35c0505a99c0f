"""What changed between two snapshots, as values: counts, and the most frequent changes.

A document is *changed* when it is in both snapshots and a text of it was added, removed or edited, *reanalysed* when
only its tokens differ. A text is the one of the same (doc_id, field, position); what is inserted at the head of a list
therefore edits the texts behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Place:
    """A token's place in snapshot A."""

    doc_id: str
    field: str
    position: int
    start: int
    """Offset in the text, in code points."""


@dataclass(frozen=True, slots=True)
class Documents:
    """Some documents: how many, and the first ids in the order of UTF-8 bytes."""

    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BothCounts:
    """One number of each snapshot."""

    a: int
    b: int


@dataclass(frozen=True, slots=True)
class DocumentChanges:
    """Documents that have rows; each is in one of these at the most."""

    added: Documents
    removed: Documents
    changed: Documents
    reanalysed: Documents


@dataclass(frozen=True, slots=True)
class TextChanges:
    """Texts, by (doc_id, field, position)."""

    added: int
    removed: int
    edited: int
    reanalysed: int
    """The same text with other tokens, features or sentences."""
    sentences: int
    """Of those, texts with a sentence that begins at another code point."""


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of the texts that differ."""

    added: int
    removed: int
    edited: BothCounts
    reanalysed: BothCounts


@dataclass(frozen=True, slots=True)
class SplitChange:
    """A stretch of unchanged text that is split otherwise: the surfaces in A and in B."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    count: int
    example: Place


@dataclass(frozen=True, slots=True)
class SplitChanges:
    """All changed splits of unchanged texts."""

    total: int
    distinct: int
    """Different ones; a lower bound where ``undercount`` is not 0."""
    undercount: int
    """By how much the count of one may be too low, because rare ones were forgotten to save memory; 0 is exact."""
    most_frequent: tuple[SplitChange, ...]


@dataclass(frozen=True, slots=True)
class FeatureChange:
    """One value of a column that became another, in tokens whose span did not change."""

    surface: str
    old: Value
    new: Value
    count: int
    example: Place


@dataclass(frozen=True, slots=True)
class FeatureChanges:
    """All changes of one column, as in SplitChanges."""

    column: str
    total: int
    distinct: int
    undercount: int
    most_frequent: tuple[FeatureChange, ...]


@dataclass(frozen=True, slots=True)
class TextCounts:
    """One field's texts in one snapshot."""

    texts: int
    tokens: int
    unknown_tokens: int
    unknown_rate: float | None
    """Unknown tokens by tokens; None without tokens."""


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """One field in both snapshots."""

    field: str
    a: TextCounts
    b: TextCounts


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that a comparison of rows finds."""

    documents: DocumentChanges
    texts: TextChanges
    tokens: TokenCounts
    splits: SplitChanges
    features: tuple[FeatureChanges, ...]
    """Of the columns that differ, in the order of the schema."""
    fields: tuple[FieldCounts, ...]
