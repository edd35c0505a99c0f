"""What is counted between two snapshots, held against a slow and obvious reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kizami.change_tally import Tally
from kizami.row_windows import windows
from kizami.snapshot_changes import Changes, Documents
from kizami_schemas import v1
from support.split_rows import Split, split_rows

FEATURES = ("lemma", "pron", "is_unknown")
FIELDS = ("title", "steps")
IDS = ("ab", "料理", "ｚ", "🍣")
"""By code points and by UTF-8 bytes in this order, in UTF-16 in another."""

Snapshot = dict[tuple[str, str, int], Split]


@st.composite
def texts(draw: st.DrawFn, doc_id: str, field: str, position: int) -> Split:
    """A short text, split somehow, with features and sentences; the same texts are likely to come again."""
    text = draw(st.sampled_from(["豚バラ肉", "豚肉と 卵", "🍣", " ", ""]))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)))))
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    split = Split("|".join(pieces), doc_id, field, position)
    count = len(split.spans)
    features: dict[str, list[Any]] = {
        "lemma": draw(st.lists(st.sampled_from("甲乙"), min_size=count, max_size=count)),
        "pron": draw(st.lists(st.sampled_from(["コウ", None]), min_size=count, max_size=count)),
        "is_unknown": draw(st.lists(st.booleans(), min_size=count, max_size=count)),
    }
    starts = sorted(draw(st.sets(st.integers(0, count - 1)))) if count else []
    return Split(split.tokens, doc_id, field, position, starts, features)


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[Snapshot, Snapshot]:
    """Two snapshots that share some of their texts."""
    keys = st.tuples(st.sampled_from(IDS), st.sampled_from(FIELDS), st.integers(0, 1))
    pair: tuple[Snapshot, Snapshot] = ({}, {})
    for key in draw(st.sets(keys)):
        side = draw(st.sampled_from(["old", "new", "both", "same"]))
        if side != "new":
            pair[0][key] = draw(texts(*key))
        if side == "same":
            pair[1][key] = pair[0][key]
        elif side != "old":
            pair[1][key] = draw(texts(*key))
    return pair


@dataclass
class Reference:
    """The same counts, text by text and token by token."""

    old: Snapshot
    new: Snapshot

    def reanalysed(self) -> list[tuple[Split, Split]]:
        """Texts that both have, and whose rows are not equal."""
        both = [(self.old[key], self.new[key]) for key in sorted(self.old.keys() & self.new.keys())]
        return [(old, new) for old, new in both if old.text == new.text and told(old) != told(new)]

    def documents(self) -> dict[str, list[str]]:
        """The ids of each kind."""
        ids = [{key[0] for key in side} for side in (self.old, self.new)]
        unlike = {
            key[0]
            for key in self.old.keys() | self.new.keys()
            if key not in self.old or key not in self.new or self.old[key].text != self.new[key].text
        }
        changed = ids[0] & ids[1] & unlike
        found = {
            "added": ids[1] - ids[0],
            "removed": ids[0] - ids[1],
            "changed": changed,
            "reanalysed": {old.doc_id for old, _ in self.reanalysed()} - changed,
        }
        return {name: sorted(each) for name, each in found.items()}

    def splits(self) -> Counter[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Merge what overlaps until nothing does."""
        found: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = Counter()
        for old, new in self.reanalysed():
            spans = set(old.spans) ^ set(new.spans)
            groups = [[span] for span in sorted(spans)]
            while pair := next(overlapping(groups), None):
                groups = [group for group in groups if group not in pair] + [pair[0] + pair[1]]
            for group in groups:
                sides = [tuple(surface for _, surface in sorted(set(group) & set(each.spans))) for each in (old, new)]
                found[sides[0], sides[1]] += 1
        return found

    def features(self) -> dict[str, Counter[tuple[str, Any, Any]]]:
        """Look every token of the same span up on both sides."""
        found: dict[str, Counter[tuple[str, Any, Any]]] = {name: Counter() for name in FEATURES}
        for (old, new), name in ((pair, name) for pair in self.reanalysed() for name in FEATURES):
            was, now = (dict(zip(each.spans, each.features[name] or (), strict=True)) for each in (old, new))
            found[name].update(
                (span[1], was[span], now[span]) for span in was.keys() & now.keys() if was[span] != now[span]
            )
        return {name: counts for name, counts in found.items() if counts}

    def fields(self) -> dict[str, list[tuple[int, int, int]]]:
        """Texts, tokens and unknown tokens of each field, old and new."""
        found = {}
        for name in FIELDS:
            own = [[text for text in side.values() if text.field == name] for side in (self.old, self.new)]
            if any(own):
                found[name] = [
                    (len(each), tokens(each), sum(sum(text.row()["is_unknown"]) for text in each)) for each in own
                ]
        return found


def told(split: Split) -> Any:
    """All that an analysis says of a text."""
    return split.spans, sentences(split), split.features


def sentences(split: Split) -> list[int]:
    """Where the sentences begin, in code points."""
    return [split.spans[number][0] for number in split.row()["sentence_start"]]


def overlapping(groups: list[list[tuple[int, str]]]) -> Iterator[tuple[list[tuple[int, str]], list[tuple[int, str]]]]:
    """Pairs of groups with a code point in common."""
    for one in groups:
        for other in groups:
            if one is not other and points(one) & points(other):
                yield one, other


def points(group: Iterable[tuple[int, str]]) -> set[int]:
    """The code points of some tokens."""
    return set(chain.from_iterable(range(start, start + len(surface)) for start, surface in group))


def tokens(splits: Iterable[Split]) -> int:
    """Number of tokens."""
    return sum(len(split.spans) for split in splits)


def unknown_tokens(splits: Iterable[Split]) -> int:
    """Number of unknown tokens."""
    return sum(sum(split.row()["is_unknown"]) for split in splits)


def tables(snapshot: Snapshot, field_order: tuple[str, ...], cuts: Iterable[int]) -> list[pa.Table]:
    """A snapshot's rows in order, in pieces; at least one, if an empty one."""
    ordered = sorted(snapshot, key=lambda key: (key[0], field_order.index(key[1]), key[2]))
    rows = split_rows([snapshot[key] for key in ordered])
    places = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    return [rows.slice(start, end - start) for start, end in pairwise(places)]


def compare(old: list[pa.Table], new: list[pa.Table], **options: int) -> Changes:
    """What the tally finds."""
    tally = Tally(FEATURES, **{"limit": 1000, **options})
    for pair in windows(old, new):
        tally.add(*pair)
    return tally.result(FIELDS)


CUTS = st.lists(st.integers(0, 16), max_size=4)


@settings(max_examples=300, deadline=None)
@given(snapshots(), CUTS, CUTS, st.permutations(FIELDS))
def test_every_count_is_the_references(
    pair: tuple[Snapshot, Snapshot], old_cuts: list[int], new_cuts: list[int], new_order: list[str]
) -> None:
    """However the rows come in pieces, and though the fields be in another order on the other side."""
    old, new = pair
    reference = Reference(old, new)
    found = compare(tables(old, FIELDS, old_cuts), tables(new, tuple(new_order), new_cuts))
    for name, ids in reference.documents().items():
        assert getattr(found.documents, name) == Documents(len(ids), tuple(ids))

    both = old.keys() & new.keys()
    edited = [key for key in both if old[key].text != new[key].text]
    reanalysed = reference.reanalysed()
    assert found.texts.added == len(new.keys() - both)
    assert found.texts.removed == len(old.keys() - both)
    assert found.texts.edited == len(edited)
    assert found.texts.reanalysed == len(reanalysed)
    assert found.texts.sentences == sum(sentences(before) != sentences(after) for before, after in reanalysed)
    assert found.tokens.added == tokens(new[key] for key in new.keys() - both)
    assert found.tokens.removed == tokens(old[key] for key in old.keys() - both)
    assert (found.tokens.edited.a, found.tokens.edited.b) == (
        tokens(old[key] for key in edited),
        tokens(new[key] for key in edited),
    )
    assert (found.tokens.reanalysed.a, found.tokens.reanalysed.b) == (
        tokens(before for before, _ in reanalysed),
        tokens(after for _, after in reanalysed),
    )

    assert {(each.old, each.new): each.count for each in found.splits.most_frequent} == reference.splits()
    assert (found.splits.total, found.splits.undercount) == (reference.splits().total(), 0)
    assert {
        column.column: {(each.surface, each.old, each.new): each.count for each in column.most_frequent}
        for column in found.features
    } == reference.features()
    assert {
        each.field: [(side.texts, side.tokens, side.unknown_tokens) for side in (each.a, each.b)]
        for each in found.fields
    } == reference.fields()
    for column in found.features:
        for change in column.most_frequent:
            place = change.example
            assert (place.start, change.surface) in old[place.doc_id, place.field, place.position].spans


@settings(deadline=None)
@given(snapshots(), CUTS, CUTS)
def test_windows_hold_whole_documents_in_order(
    pair: tuple[Snapshot, Snapshot], old_cuts: list[int], new_cuts: list[int]
) -> None:
    """Each document is in one window, with all its rows of both sides."""
    sides = tables(pair[0], FIELDS, old_cuts), tables(pair[1], FIELDS, new_cuts)
    found = list(windows(*sides))
    ids = [sorted({*old["doc_id"].to_pylist(), *new["doc_id"].to_pylist()}) for old, new in found]
    assert all(ids)
    assert list(chain(*ids)) == sorted({key[0] for side in pair for key in side})
    for number, tables_of_side in enumerate(sides):
        seen = [window[number] for window in found] or [v1.SCHEMA.empty_table()]
        assert pa.concat_tables(seen).equals(pa.concat_tables(tables_of_side))


def test_windows_hold_no_more_than_they_must() -> None:
    """With tables of equal ranges on both sides, no more than two of each are read before one is given away."""
    read = 0

    def documents() -> Iterator[pa.Table]:
        nonlocal read
        for number in range(20):
            read += 1
            yield split_rows([Split("肉", f"r-{number:03d}-{row}") for row in range(5)])

    rows = 0
    for old, new in windows(documents(), documents()):
        rows += len(old) + len(new)
        assert 5 * read - rows <= 2 * 5
    assert rows == 200


def test_the_most_frequent_come_first_with_their_first_place() -> None:
    """Counted over all windows; no more than asked for, the totals complete."""
    dishes = ["豚バラ|肉", "豚バラ|肉", "玉ねぎ", "豚バラ|肉", "生姜焼き"]
    others = ["豚|バラ肉", "豚|バラ肉", "玉|ねぎ", "豚|バラ肉", "生姜|焼き"]
    old = [split_rows([Split(f"鍋|{dish}", f"r-{number}", "steps", 3)]) for number, dish in enumerate(dishes)]
    new = [split_rows([Split(f"鍋|{dish}", f"r-{number}", "steps", 3)]) for number, dish in enumerate(others)]
    found = compare(old, new, limit=2)
    assert [(each.old, each.new, each.count) for each in found.splits.most_frequent] == [
        (("豚バラ", "肉"), ("豚", "バラ肉"), 3),
        (("玉ねぎ",), ("玉", "ねぎ"), 1),
    ]
    first = found.splits.most_frequent[0].example
    assert (first.doc_id, first.field, first.position, first.start) == ("r-0", "steps", 3, 1)
    assert (found.splits.total, found.splits.distinct) == (5, 3)
    assert found.documents.reanalysed == Documents(5, ("r-0", "r-1"))


def test_too_many_kinds_are_admitted() -> None:
    """Beyond its capacity the tally forgets rare splits and says how far its counts may be low; the total is exact."""
    surfaces = [chr(0x4E00 + number) for number in range(100)]
    old = split_rows([Split(f"肉{each}", f"r-{number:03d}") for number, each in enumerate(surfaces)])
    new = split_rows([Split(f"肉|{each}", f"r-{number:03d}") for number, each in enumerate(surfaces)])
    found = compare([old], [new], capacity=10).splits
    assert found.total == 100
    assert found.distinct <= 20
    assert found.undercount > 0
