"""The entries of a compiled dictionary, found by what MeCab prints of a token, and their features as columns.

MeCab names the entry it chose by its surface, left context id and word cost. That is what it is made to print: a fifth
of the bytes of the features themselves, which are read from the dictionary once an entry. With a user dictionary the
right context id is needed too: unidic-lite's entries that agree in the other three agree in it, a user's may not.

The files are those of MeCab 0.996: a header of ten uint32 (magic, version 102, type, entries, left and right ids, bytes
of trie, of tokens and of features, a dummy) and the name of a character set in 32 bytes; a double-array trie from
surfaces (UTF-8) to runs of tokens; the tokens; their features, each ended by NUL.
"""

from __future__ import annotations

import csv
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from kizami.analysis.growing_strings import GrowingStrings
from kizami.errors import ConfigurationError

# Place of each column in UniDic's 26 features, and the value that says there is none.
_FEATURES: Final = {
    "pos1": (0, "*"),
    "pos2": (1, "*"),
    "pos3": (2, "*"),
    "pos4": (3, "*"),
    "c_type": (4, "*"),
    "c_form": (5, "*"),
    "lemma": (7, ""),
    "orth_base": (10, ""),
    "l_form": (6, ""),
    "pron": (9, ""),
    "goshu": (12, ""),
}
FEATURE_COLUMNS: Final = tuple(_FEATURES)
_WIDTH: Final = 1 + max(place for place, _ in _FEATURES.values())

_HEADER_BYTES: Final = 72
_MAGIC: Final = 0xEF718F77
_VERSION: Final = 102
_TOKEN: Final = np.dtype(
    [("left", "<u2"), ("right", "<u2"), ("pos", "<u2"), ("cost", "<i2"), ("feature", "<u4"), ("compound", "<u4")]
)

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PrintedTokens:
    """Distinct tokens as MeCab prints them, a column each of the same length."""

    surface: pa.StringArray
    is_unknown: npt.NDArray[np.bool_]
    left: Numbers
    cost: Numbers
    right: Numbers | None = None
    """None where it is not printed."""

    @property
    def keys(self) -> dict[str, Numbers]:
        """What names an entry beside its surface, by the names of MeCab's own fields."""
        keys = {"left": self.left, "cost": self.cost}
        return keys if self.right is None else keys | {"right": self.right}


class Lexicon:
    """The entries of a dictionary folder and a user dictionary: ``rows`` finds them, ``column`` gives their features
    by row.

    It remembers the entries asked for; ``forget`` and ``shrink`` drop them, and nothing but speed depends on it. Raises
    ConfigurationError where the files are not dictionaries of MeCab 0.996 in UTF-8. They may be removed afterwards.
    """

    def __init__(self, folder: Path, user: Path | None = None) -> None:
        self._known = _DictionaryFile(folder / "sys.dic")
        self._unknown = _DictionaryFile(folder / "unk.dic")
        self._user = None if user is None else _DictionaryFile(user)
        # Numbers of entries: those of the dictionary, then those of unknown words, then the user's.
        self._unknown_from = len(self._known.tokens)
        self._user_from = self._unknown_from + len(self._unknown.tokens)
        entries = self._user_from + (0 if self._user is None else len(self._user.tokens))
        # One right id each, like the dictionary's own entries.
        kinds = self._unknown.tokens
        self._unknown_keys = {
            key: number for number, key in enumerate(zip(kinds["left"].tolist(), kinds["cost"].tolist(), strict=True))
        }
        self._row_of = np.full(entries, -1, np.int32)
        self._asked_again = np.zeros(entries, np.bool_)
        self._columns: dict[str, GrowingStrings] = {}
        self.forget()

    def __len__(self) -> int:
        """Entries remembered."""
        return len(self._columns["pos1"])

    def forget(self) -> None:
        """Drop all rows; numbers given out before are void."""
        self._row_of.fill(-1)
        self._asked_again.fill(False)
        self._columns = {name: GrowingStrings() for name in FEATURE_COLUMNS}

    def shrink(self) -> None:
        """Drop all rows but those asked for again since they were learned or kept; numbers given before are void."""
        entries = np.flatnonzero(self._asked_again)
        rows = pa.array(self._row_of[entries])
        self._row_of.fill(-1)
        self._row_of[entries] = np.arange(len(entries), dtype=np.int32)
        self._asked_again.fill(False)
        for name, column in self._columns.items():  # one after another: there are two of one of them at a time
            kept = column.array().take(rows)
            self._columns[name] = GrowingStrings()
            self._columns[name].append(kept)

    def column(self, name: str) -> pa.StringArray:
        """A feature by row, null where UniDic has none. It only ever grows, until ``forget`` or ``shrink``."""
        return self._columns[name].array()

    def rows(self, printed: PrintedTokens) -> npt.NDArray[np.int32]:
        """The row of each token. Raises LookupError for one that the dictionary does not hold."""
        entries = np.empty(len(printed.surface), np.int64)
        unknown = np.flatnonzero(printed.is_unknown)
        keys = zip(printed.left[unknown].tolist(), printed.cost[unknown].tolist(), strict=True)
        try:
            numbers = [self._unknown_keys[key] for key in keys]
        except KeyError as error:
            raise LookupError(f"no kind of unknown word has the ids and cost {error}") from None
        entries[unknown] = np.array(numbers, np.int64) + self._unknown_from
        known = np.flatnonzero(~printed.is_unknown)
        entries[known] = self._known.find(printed, known)
        if self._user is not None:
            # The dictionary comes first: of entries that agree in all, MeCab chooses its own before the user's.
            own = known[entries[known] < 0]
            found = self._user.find(printed, own)
            entries[own] = np.where(found < 0, found, found + self._user_from)
        if (entries < 0).any():
            raise LookupError("MeCab printed a word that its dictionary does not hold")
        is_new = self._row_of[entries] < 0
        self._asked_again[entries[~is_new]] = True
        self._learn(np.unique(entries[is_new]))
        return self._row_of[entries]

    def _learn(self, entries: Numbers) -> None:
        if not len(entries):
            return
        known, unknown, own = np.split(entries, np.searchsorted(entries, (self._unknown_from, self._user_from)))
        lines = self._known.features(known) + self._unknown.features(unknown - self._unknown_from)
        if self._user is not None:
            lines += self._user.features(own - self._user_from)
        columns = _feature_columns(lines)
        self._row_of[entries] = np.arange(len(self), len(self) + len(entries), dtype=np.int32)
        for name, column in self._columns.items():
            column.append(columns[name])


class _DictionaryFile:
    """One compiled dictionary file, mapped into memory."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header = np.frombuffer(self._bytes, "<u4", 10) if len(self._bytes) >= _HEADER_BYTES else np.zeros(10, "<u4")
        magic, version, trie, tokens = (int(header[place]) for place in (0, 1, 6, 7))
        character_set = self._bytes[40:_HEADER_BYTES].rstrip(b"\0").lower()
        if magic ^ _MAGIC != len(self._bytes) or version != _VERSION or character_set not in (b"utf8", b"utf-8"):
            raise ConfigurationError(f"{path} is not a dictionary of MeCab 0.996 in UTF-8")
        cells = np.frombuffer(self._bytes, "<i4", trie // 4, _HEADER_BYTES).reshape(-1, 2)
        self._base, self._check = cells[:, 0], cells[:, 1]
        self.tokens = np.frombuffer(self._bytes, _TOKEN, tokens // _TOKEN.itemsize, _HEADER_BYTES + trie)
        self._features_at = _HEADER_BYTES + trie + tokens

    def features(self, numbers: Numbers) -> list[bytes]:
        """The features of tokens, as MeCab prints them."""
        starts = self._features_at + self.tokens["feature"][numbers].astype(np.int64)
        return [self._bytes[start : self._bytes.find(b"\0", start)] for start in starts.tolist()]

    def find(self, printed: PrintedTokens, places: Numbers) -> Numbers:
        """The number of each of the tokens at ``places`` by its surface, id or ids and cost, -1 where it is not there.

        Where several agree in all, it is the first, as in MeCab, whose search for the best path keeps the first of
        equals.
        """
        cell = self._walk(printed.surface.take(pa.array(places)))
        held = np.flatnonzero(cell >= 0)
        value = -self._base[cell[held]].astype(np.int64) - 1
        count = value & 0xFF
        owner = np.repeat(held, count)
        first = np.cumsum(count) - count
        number = np.repeat((value >> 8) - first, count) + np.arange(len(owner))
        token, place = self.tokens[number], places[owner]
        fits = np.logical_and.reduce([token[name] == numbers[place] for name, numbers in printed.keys.items()])
        found = np.full(len(places), -1, np.int64)
        # Of several values for one place numpy keeps the last: hence from the end.
        found[owner[fits][::-1]] = number[fits][::-1]
        return found

    def _walk(self, surfaces: pa.StringArray) -> Numbers:
        """The trie's cell with the value of each surface, -1 where there is none; all are walked at once, a byte a
        step."""
        offsets = np.frombuffer(surfaces.buffers()[1], np.int32)[surfaces.offset :][: len(surfaces) + 1]
        values = surfaces.buffers()[2]
        data = np.frombuffer(values, np.uint8) if values is not None and values.size else np.zeros(0, np.uint8)
        lengths = np.diff(offsets)
        state = np.full(len(surfaces), self._base[0], np.int64)
        walking = np.arange(len(surfaces))
        for step in range(int(lengths.max(initial=0))):
            walking = walking[lengths[walking] > step]
            cell = state[walking] + data[offsets[walking] + step] + 1
            there = self._is_child(cell, state[walking])
            state[walking[~there]] = -1
            walking = walking[there]
            state[walking] = self._base[cell[there]]
        ending = self._is_child(state, state)
        ending[ending] = self._base[state[ending]] < 0
        return np.where(ending, state, -1)

    def _is_child(self, cell: Numbers, parent: Numbers) -> npt.NDArray[np.bool_]:
        is_child = (cell >= 0) & (cell < len(self._check))
        is_child[is_child] = self._check[cell[is_child]] == parent[is_child]
        return is_child


def _feature_columns(lines: list[bytes]) -> dict[str, pa.StringArray]:
    """The features of entries as columns, null where there is none.

    Unknown words have six features, words of a user dictionary as many as their author wrote: what is missing is none.
    """
    names = [str(place) for place in range(_WIDTH)] + ["rest"]
    content, place_of = _cut_lines(lines)
    table = arrow_csv.read_csv(
        pa.py_buffer(content),
        read_options=arrow_csv.ReadOptions(use_threads=False, column_names=names, block_size=1 << 30),
        parse_options=arrow_csv.ParseOptions(quote_char='"', double_quote=True, ignore_empty_lines=False),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=names[:-1],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
    columns = {}
    for name, (place, none) in _FEATURES.items():
        values = table[str(place)].combine_chunks()
        values = _without(values, none) if none else values
        columns[name] = values if place_of is None else values.take(place_of)
    return columns


def _without(values: pa.StringArray, none: str) -> pa.StringArray:
    return pc.if_else(pc.equal(values, none), pa.scalar(None, pa.string()), values)


def _cut_lines(lines: list[bytes]) -> tuple[bytes, pa.Int64Array | None]:
    """CSV of exactly ``_WIDTH`` features a line and an empty one, and where in it each line stands; None: in order."""
    data = np.frombuffer(bytearray(b"\n".join(lines) + b"\n"), np.uint8)
    starts = np.concatenate(([0], np.flatnonzero(data == ord("\n")) + 1))
    commas = np.append(np.flatnonzero(data == ord(",")), len(data))
    last = commas[np.minimum(np.searchsorted(commas, starts[:-1]) + _WIDTH - 1, len(commas) - 1)]
    quotes = np.flatnonzero(data == ord('"'))
    # What has fewer features or a quote among those kept is rare, and looked at one by one. Most quotes come further
    # on: it is the accents that hold commas.
    plain = (last < starts[1:]) & (np.searchsorted(quotes, starts[:-1]) == np.searchsorted(quotes, last))
    first, end = starts[:-1][plain], last[plain] + 1
    data[end] = ord("\n")
    joined = data.tobytes()
    content = b"".join(map(joined.__getitem__, map(slice, first.tolist(), (end + 1).tolist())))
    if plain.all():
        return content, None
    others = np.flatnonzero(~plain)
    content += b"".join(_with_rest(lines[at]) + b"\n" for at in others.tolist())
    place = np.empty(len(lines), np.int64)
    place[np.concatenate((np.flatnonzero(plain), others))] = np.arange(len(lines))
    return content, pa.array(place)


def _with_rest(line: bytes) -> bytes:
    """A line of exactly ``_WIDTH`` features and an empty one."""
    features = line.split(b",", _WIDTH)[:_WIDTH]
    kept = b",".join(features)
    if b'"' in kept:
        features = [_quoted(feature) for feature in next(csv.reader([line.decode()]))[:_WIDTH]]
        kept = b",".join(features)
    return kept + b"," * (_WIDTH + 1 - len(features))


def _quoted(feature: str) -> bytes:
    return b'"' + feature.replace('"', '""').encode() + b'"' if feature else b""
