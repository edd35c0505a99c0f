"""The shown form: texts as MeCab is shown them, and the way back to their own code points.

White space of every kind (``str.isspace``) and control characters (category Cc) are always shown as U+0020, because
MeCab ends a sentence at NUL, takes U+00A0 and U+2028 for unknown words and U+3000 for a word. Line ends of every kind
become U+000A here; they end a sentence and MeCab never sees them.

With ``unidic`` normalisation the text is also shown the way UniDic is written: ASCII 0x21-0x7E in full width,
half-width katakana in full width, and kana with a following (han)dakuten composed into one character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

CodePoints = npt.NDArray[np.uint32]
Offsets = npt.NDArray[np.int64]


class Normalisation(StrEnum):
    """How a text is shown to MeCab."""

    UNIDIC = "unidic"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ShownTexts:
    """A batch of texts joined by line ends, and what MeCab sees of it. All offsets are in code points."""

    joined: str
    """The texts as they are, a line end between each and the next."""
    bounds: Offsets
    """Where each text starts in ``joined``, and, last, where one more would: a text ends one before the next starts."""
    shown: str
    origin: Offsets | None
    """For each code point of ``shown``, and for its end, the offset in ``joined``; None where both count alike."""
    is_altered: npt.NDArray[np.bool_]
    """For each code point of ``joined``, whether it is shown as another one or as none."""

    def original(self, offsets: Offsets) -> Offsets:
        """Offsets in ``shown`` (its end included) as offsets in ``joined``."""
        return offsets if self.origin is None else self.origin[offsets]


_TABLE_SIZE: Final = 0x10000  # what lies beyond the basic plane is shown as it is
# Every character of str.isspace() lies at or below U+3000 (IDEOGRAPHIC SPACE), every one of category Cc below U+00A0.
_BLANK: Final = {
    code: "\n" if len(f"{chr(code)}-".splitlines()) > 1 else " "
    for code in range(0x3001)
    if chr(code).isspace() or unicodedata.category(chr(code)) == "Cc"
}
_DAKUTEN, _HANDAKUTEN = "\u3099", "\u309a"
_HALF_WIDTH_MARK: Final = {"\uff9e": _DAKUTEN, "\uff9f": _HANDAKUTEN}
_MARKS: Final = (_DAKUTEN, _HANDAKUTEN, *_HALF_WIDTH_MARK)

# U+FF61-FF9D: half-width 。「」、・ and katakana. Their marks U+FF9E and U+FF9F are shown as the stand-alone ゛ and ゜
# unless they compose with the kana before them.
_UNIDIC: Final = (
    _BLANK
    | {code: chr(code + 0xFEE0) for code in range(0x21, 0x7F)}
    | {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF61, 0xFF9E)}
    | {0xFF9E: "゛", 0xFF9F: "゜"}
)
_MARKED_KANA: Final = re.compile("[\u3041-\u3096\u309d\u30a1-\u30fa\u30fd\uff66-\uff9d][\u3099\u309a\uff9e\uff9f]")


def _table(replaced: dict[int, str]) -> CodePoints:
    table = np.arange(_TABLE_SIZE, dtype=np.uint32)
    table[list(replaced)] = [ord(character) for character in replaced.values()]
    return table


_TABLES: Final = {Normalisation.UNIDIC: _table(_UNIDIC), Normalisation.NONE: _table(_BLANK)}


def code_points(text: str) -> CodePoints:
    """The code points of ``text``, which holds no surrogates."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def show(texts: Sequence[str], normalisation: Normalisation) -> ShownTexts:
    """The shown form of ``texts``. It never has more code points than they, and fewer only where kana compose."""
    joined = "\n".join(texts)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    bounds = np.concatenate(([0], np.cumsum(lengths + 1)))
    originals = code_points(joined)
    table = _TABLES[normalisation]
    shown = table[np.minimum(originals, _TABLE_SIZE - 1)]
    np.copyto(shown, originals, where=originals >= _TABLE_SIZE)
    is_altered = shown != originals
    origin = None
    if normalisation is Normalisation.UNIDIC:
        found = _composed(joined)
        if found:
            shown[list(found)] = [ord(kana) for kana in found.values()]
            swallowed = np.fromiter(found, np.int64, len(found)) + 1  # the marks vanish into the kana before them
            is_altered[swallowed - 1] = is_altered[swallowed] = True
            shown = np.delete(shown, swallowed)
            origin = np.delete(np.arange(len(joined) + 1, dtype=np.int64), swallowed)
    return ShownTexts(joined, bounds, shown.astype("<u4").tobytes().decode("utf-32-le"), origin, is_altered)


def _composed(text: str) -> dict[int, str]:
    """Where in ``text`` a kana and its mark stand, and the one character they make."""
    if not any(mark in text for mark in _MARKS):
        return {}  # as in most texts, and seen in a moment
    made = ((match.start(), _compose(match.group())) for match in _MARKED_KANA.finditer(text))
    return {at: kana for at, kana in made if kana is not None}


def _compose(pair: str) -> str | None:
    """The one character that a kana and a mark make, or None where there is none (ア゙)."""
    kana, mark = pair[0], pair[1]
    composed = unicodedata.normalize("NFKC", kana + _HALF_WIDTH_MARK.get(mark, mark))
    return composed if len(composed) == 1 else None
