"""Distinct tokens and their features, each worked out once and then found by number."""

from __future__ import annotations

import csv
from typing import Final

import pyarrow as pa

TOKEN_FORMAT: Final = r"%pS%m\t%H\n"
UNKNOWN_FORMAT: Final = r"%pS%m\t\t%H\n"
"""How MeCab prints a token: leading spaces and surface, tab, features; an unknown word has a second tab.

The shown form holds neither tabs nor line ends, so nothing in a text can be mistaken for these separators.
"""

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
_COLUMN_TYPES: Final = {
    "shown_surface": pa.string(),
    "leading_spaces": pa.int32(),
    "surface_length": pa.int32(),
    "is_unknown": pa.bool_(),
} | dict.fromkeys(_FEATURES, pa.string())
VOCABULARY_COLUMNS: Final = tuple(_COLUMN_TYPES)


class Vocabulary(dict[str, int]):
    """Numbers for tokens as MeCab prints them; looking up a new one learns it.

    The numbers index the columns this class gives out: ``shown_surface`` (string), ``leading_spaces`` and
    ``surface_length`` (int32, code points of the shown form), ``is_unknown`` (bool) and UniDic's features under their
    schema names (string, null where UniDic has none). It grows with the text: ``clear`` it when it is large enough;
    nothing but speed depends on what it remembers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._new: dict[str, list[str | int | bool | None]] = {name: [] for name in _COLUMN_TYPES}
        self._learned = {name: pa.array([], type_) for name, type_ in _COLUMN_TYPES.items()}

    def __missing__(self, printed: str) -> int:
        head, features = printed.split("\t", 1)
        surface = head.lstrip(" ")
        unknown = features.startswith("\t")
        new = self._new
        new["shown_surface"].append(surface)
        new["leading_spaces"].append(len(head) - len(surface))
        new["surface_length"].append(len(surface))
        new["is_unknown"].append(unknown)
        values = _split(features[1:] if unknown else features)
        for name, (place, none) in _FEATURES.items():
            # Unknown words have six features, words of a user dictionary as many as their author wrote.
            value = values[place] if place < len(values) else none
            new[name].append(value if value != none else None)
        number = self[printed] = len(self)
        return number

    def clear(self) -> None:
        """Forget everything; numbers given out before are void."""
        super().clear()
        for name, column in self._learned.items():
            self._learned[name] = column[:0]
            self._new[name].clear()

    def column(self, name: str) -> pa.Array:
        """One column of everything learned, in the order of the numbers."""
        if self._new[name]:
            self._learned[name] = pa.concat_arrays(
                [self._learned[name], pa.array(self._new[name], _COLUMN_TYPES[name])]
            )
            self._new[name].clear()
        return self._learned[name]


def _split(features: str) -> list[str]:
    """The features of one token; some hold a quoted comma."""
    return next(csv.reader([features])) if '"' in features else features.split(",")
