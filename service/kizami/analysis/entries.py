"""The entries of a MeCab CSV, read as MeCab's own indexer reads them.

A line is surface, left context id, right context id, cost and features. What the indexer would crash on, drop without
a word or misread is an error that names the line. The surface becomes the shown form, because that is what MeCab
looks up.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kizami.analysis.sentences import cut_sentences
from kizami.analysis.shown import Normalisation, show
from kizami.errors import ConfigurationError

FEATURES_AT_MOST: Final = 26
"""UniDic's, as unidic-lite has them."""
FEATURES_WITH_IDS: Final = 6
"""pos1 to cForm: what the dictionary's context ids hang on, at the least."""

_LINE_BYTES_AT_MOST: Final = 8191
"""The indexer's buffer less one: it stops reading at the first longer line, and says nothing."""
_HOMOGRAPHS_AT_MOST: Final = 255
"""A dictionary has eight bits for their number; with 256 a surface has none."""
_COSTS: Final = range(-(1 << 15), 1 << 15)
_AUTOMATIC: Final = -1
_AUTOMATIC_IDS: Final = frozenset({"", str(_AUTOMATIC)})

# White space before a column is skipped, quotes enclose a whole column, a doubled one within them is a quote.
_COLUMN: Final = re.compile(r'[ \t]*+(?:"((?:[^"]|"")*)"|([^",][^,]*)?),')
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,9}[ \t]*")
_MISPLACED: Final = re.compile("[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class ContextIds:
    """How many context ids a dictionary has."""

    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One word."""

    line: int
    """From 1."""
    surface: str
    left: int
    """Context ids, or both -1: the indexer looks them up from the features."""
    right: int
    cost: int
    features: str
    """As MeCab prints them: comma-separated, quoted where a feature holds a comma."""

    @property
    def has_automatic_ids(self) -> bool:
        """Whether the indexer has to find the context ids."""
        return self.left == _AUTOMATIC

    def csv(self) -> bytes:
        """The line for the indexer, without its end."""
        surface = self.surface
        if '"' in surface or "," in surface:
            surface = '"' + surface.replace('"', '""') + '"'
        return f"{surface},{self.left},{self.right},{self.cost},{self.features}".encode()


def read_entries(content: bytes, location: str, ids: ContextIds, normalisation: Normalisation) -> list[Entry]:
    """The entries of a CSV, in order, their surfaces as the shown form of ``normalisation``.

    Raises ConfigurationError naming ``location`` and the first line that is at fault.
    """
    lines = _lines(content, location)
    if not lines:
        raise ConfigurationError(f"user dictionary {location} has no entries: add some, or leave user_dictionary out")
    read: list[Entry] = []
    try:
        read.extend(_entry(number, line, ids) for number, line in enumerate(lines, 1))
    except _LineFaultError as fault:
        raise line_error(location, len(read) + 1, str(fault)) from None
    shown = show([entry.surface for entry in read], normalisation).shown.split("\n")
    entries = [
        Entry(entry.line, surface, entry.left, entry.right, entry.cost, entry.features)
        for entry, surface in zip(read, shown, strict=True)
    ]
    for entry, line in zip(entries, lines, strict=True):
        if max(len(entry.csv()), len(line.encode())) > _LINE_BYTES_AT_MOST:
            raise line_error(location, entry.line, f"is longer than the {_LINE_BYTES_AT_MOST:,} bytes MeCab reads")
    _refuse_crowds(entries, location)
    return entries


def divided(entries: Sequence[Entry]) -> list[Entry]:
    """The entries in whose surface a sentence ends: MeCab gets to see such a word whole only within brackets."""
    starts, _ = cut_sentences("\n".join(entry.surface for entry in entries))
    if len(starts) == len(entries):
        return []
    return [entry for entry in entries if len(cut_sentences(entry.surface)[0]) > 1]


def line_error(location: str, line: int, fault: str) -> ConfigurationError:
    """The error of a line; ``fault`` completes a sentence that starts with the line."""
    return ConfigurationError(f"user dictionary {location}, line {line} {fault}")


class _LineFaultError(Exception):
    """A line is at fault; the message completes a sentence that starts with the line."""


def _lines(content: bytes, location: str) -> list[str]:
    if content.startswith(codecs.BOM_UTF8):
        raise line_error(
            location, 1, "starts with a byte order mark, which MeCab takes for a part of the word: save it without one"
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise line_error(location, line, "is not UTF-8: save the file in that encoding") from None
    return text.removesuffix("\n").split("\n") if text else []


def _entry(number: int, line: str, ids: ContextIds) -> Entry:
    if line.endswith("\r"):
        raise _LineFaultError(
            "ends with a carriage return, which MeCab takes for a part of the last feature: save the file with LF "
            "line ends"
        )
    if misplaced := _MISPLACED.search(line):
        raise _LineFaultError(f"holds the control character U+{ord(misplaced[0]):04X}: take it out")
    surface, left, right, cost, features = _columns(line)
    if not surface:
        raise _LineFaultError("has no surface: write the word in the first column")
    if surface != surface.strip():
        raise _LineFaultError("has white space at an end of its surface, where no word has it: take it out")
    return Entry(number, surface, *_context_ids(left.rstrip(), right.rstrip(), ids, features), _cost(cost), features)


def _columns(line: str) -> list[str]:
    """Surface, left id, right id, cost and features."""
    columns = line.split(",", 4)
    if any('"' in column for column in columns[:4]):
        columns = list(_quoted_columns(line))
    else:
        columns = [column.lstrip(" \t") for column in columns]
    if len(columns) < 5 or not columns[4]:
        raise _LineFaultError(
            "has fewer than five columns (surface, left id, right id, cost, features); there are neither blank lines "
            "nor comments"
        )
    _check_features(columns[4])
    return columns


def _quoted_columns(line: str) -> Iterator[str]:
    at = 0
    for _ in range(4):
        column = _COLUMN.match(line, at)
        if column is None:
            raise _LineFaultError("has quotes that do not enclose a whole column, or fewer than five columns")
        quoted, plain = column.groups()
        yield (plain or "") if quoted is None else quoted.replace('""', '"')
        at = column.end()
    yield line[at:].lstrip(" \t")


def _check_features(features: str) -> None:
    count = features.count(",") + 1
    if '"' in features:
        if features.startswith('"'):
            raise _LineFaultError("has quotes round its first feature, which MeCab misreads: write it without")
        try:
            count = len(next(csv.reader([features], strict=True)))
        except csv.Error:
            raise _LineFaultError("has quotes in its features that do not enclose a whole one") from None
    if count > FEATURES_AT_MOST:
        raise _LineFaultError(
            f"has {count} features, the dictionary {FEATURES_AT_MOST}: is it written for another one? Quote a feature "
            "with a comma in it"
        )


def _context_ids(left: str, right: str, ids: ContextIds, features: str) -> tuple[int, int]:
    if left in _AUTOMATIC_IDS and right in _AUTOMATIC_IDS:
        if features.count(",") + 1 < FEATURES_WITH_IDS:
            raise _LineFaultError(
                f"gives no context ids, and fewer than the {FEATURES_WITH_IDS} features (pos1 to cForm) that they can "
                "be found by: write those, or both ids"
            )
        return _AUTOMATIC, _AUTOMATIC
    if left in _AUTOMATIC_IDS or right in _AUTOMATIC_IDS:
        raise _LineFaultError("gives one context id, which MeCab does not heed: give both, or leave both empty")
    found = []
    for name, number, count in (("left", left, ids.left), ("right", right, ids.right)):
        if not _NUMBER.fullmatch(number) or not 0 <= int(number) < count:
            raise _LineFaultError(
                f"has {name} context id {number!r}: the dictionary's are 0 to {count - 1}; or leave both empty"
            )
        found.append(int(number))
    return found[0], found[1]


def _cost(cost: str) -> int:
    if not cost.strip():
        raise _LineFaultError(
            "has no cost, and the dictionary comes without the model to estimate it: give one; the lower, the likelier"
        )
    if not _NUMBER.fullmatch(cost) or int(cost) not in _COSTS:
        raise _LineFaultError(f"has cost {cost!r}: write a whole number from {_COSTS[0]} to {_COSTS[-1]}")
    return int(cost)


def _refuse_crowds(entries: Sequence[Entry], location: str) -> None:
    homographs = Counter(entry.surface for entry in entries)
    crowd = {surface for surface, count in homographs.items() if count > _HOMOGRAPHS_AT_MOST}
    if not crowd:
        return
    surface = min(crowd, key=[entry.surface for entry in entries].index)
    lines = [entry.line for entry in entries if entry.surface == surface]
    raise line_error(
        location,
        lines[_HOMOGRAPHS_AT_MOST],
        f"is entry {_HOMOGRAPHS_AT_MOST + 1} of one surface, as of line {lines[0]}: MeCab has room for "
        f"{_HOMOGRAPHS_AT_MOST}",
    )
