"""The differences of two snapshots for a person at a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from kizami.snapshot_changes import (
    Documents,
    FeatureChanges,
    FieldCounts,
    Place,
    SplitChanges,
    TextCounts,
    Value,
)
from kizami.snapshot_diff import SnapshotDiff, SnapshotSummary


def render_diff(diff: SnapshotDiff) -> str:
    """What changed, the most important first. Old values stand left of an arrow, new ones right of it."""
    return "\n".join(_lines(diff))


def _lines(diff: SnapshotDiff) -> Iterator[str]:
    changes = diff.changes
    yield from _snapshots(diff)
    yield ""
    yield "documents"
    for name in ("added", "removed", "changed", "reanalysed"):
        yield from _documents(name, getattr(changes.documents, name))
    texts, tokens = changes.texts, changes.tokens
    yield "texts"
    yield f"  {texts.added:>11,}  added       {tokens.added:,} tokens"
    yield f"  {texts.removed:>11,}  removed     {tokens.removed:,} tokens"
    yield f"  {texts.edited:>11,}  edited      {tokens.edited.a:,} → {tokens.edited.b:,} tokens"
    sentences = f"; in {texts.sentences:,} a sentence begins elsewhere" if texts.sentences else ""
    reanalysed = tokens.reanalysed
    yield f"  {texts.reanalysed:>11,}  reanalysed  {reanalysed.a:,} → {reanalysed.b:,} tokens{sentences}"
    yield from _splits(changes.splits)
    yield from _features(changes.features)
    yield from _unknown(changes.fields)


def _snapshots(diff: SnapshotDiff) -> Iterator[str]:
    yield f"{diff.corpus}: what changed from A to B"
    for name, side in (("A", diff.a), ("B", diff.b)):
        yield f"  {name}  {side.date}  {side.snapshot}  {side.rows:,} texts, {side.tokens:,} tokens"
        yield f"     analysis {side.fingerprint}"
    yield f"  {_analysis(diff)}; {_equal_parts(diff)}"
    for name, side in (("A", diff.a), ("B", diff.b)):
        if side.columns_only_here:
            yield f"  only {name} has {', '.join(side.columns_only_here)}: not compared"


def _analysis(diff: SnapshotDiff) -> str:
    return "the same analysis" if diff.same_analysis else "another analysis: equal texts may have other tokens"


def _equal_parts(diff: SnapshotDiff) -> str:
    return f"{diff.equal_parts:,} of {_parts(diff.a)} and {_parts(diff.b)} parts are equal to the byte"


def _parts(side: SnapshotSummary) -> str:
    return f"{side.parts:,}"


def _documents(name: str, documents: Documents) -> Iterator[str]:
    more = ", …" if documents.count > len(documents.ids) else ""
    ids = ", ".join(map(_printable, documents.ids)) + more
    yield f"  {documents.count:>11,}  {name:<10}  {ids}".rstrip()


def _splits(splits: SplitChanges) -> Iterator[str]:
    yield f"splits changed in unchanged texts: {_total(splits)}"
    for change in splits.most_frequent:
        old, new = ("|".join(map(_printable, side)) or "(no token)" for side in (change.old, change.new))
        yield f"  {change.count:>11,}  {old} → {new}{_where(change.example)}"


def _features(features: Iterable[FeatureChanges]) -> Iterator[str]:
    changed = list(features)
    yield "features changed where the split did not:" + ("" if changed else " none")
    for column in changed:
        yield f"  {column.column}: {_total(column)}"
        for change in column.most_frequent:
            values = f"{_value(change.old)} → {_value(change.new)}"
            yield f"  {change.count:>11,}  {_printable(change.surface)}: {values}{_where(change.example)}"


def _total(changes: SplitChanges | FeatureChanges) -> str:
    if not changes.total:
        return "none"
    if changes.undercount:
        return (
            f"{changes.total:,}, over {changes.distinct:,} different; too many to remember all, "
            f"so each count may be up to {changes.undercount:,} too low"
        )
    return f"{changes.total:,}, {changes.distinct:,} different"


def _unknown(fields: Iterable[FieldCounts]) -> Iterator[str]:
    yield "unknown tokens by field"
    for field in fields:
        rates = f"{_rate(field.a):>11} → {_rate(field.b):<9}"
        yield f"  {rates}  {_printable(field.field)}: {_of(field.a)} → {_of(field.b)}"


def _rate(counts: TextCounts) -> str:
    return "-" if counts.unknown_rate is None else f"{100 * counts.unknown_rate:.3f} %"


def _of(counts: TextCounts) -> str:
    return f"{counts.unknown_tokens:,} of {counts.tokens:,}"


def _where(place: Place) -> str:
    return f"    {_printable(place.doc_id)} {place.field}[{place.position}] {place.start}"


def _value(value: Value) -> str:
    if isinstance(value, str):
        return _printable(value)
    return json.dumps(value)


def _printable(text: str) -> str:
    """The text itself, escaped where a terminal would not print it as one piece."""
    return text if text.isprintable() and text.strip() == text else repr(text)
