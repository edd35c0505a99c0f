"""The shown form of one text, slow and obvious: what the product's must equal.

White space of every kind (``str.isspace``) and control characters (category Cc) are always shown as U+0020, because
MeCab ends a sentence at NUL, takes U+00A0 and U+2028 for unknown words and U+3000 for a word. Line ends of every kind
become U+000A here; they end a sentence and MeCab never sees them.

With ``unidic`` normalisation the text is also shown the way UniDic is written: ASCII 0x21-0x7E in full width,
half-width katakana in full width, and kana with a following (han)dakuten composed into one character.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from kizami.analysis.shown import Normalisation

Offsets = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ShownForm:
    """What MeCab sees of one text."""

    shown: str
    origin: Offsets | None
    """For each code point of ``shown``, and for its end, the offset in the text; None where both count alike."""

    def original(self, offsets: Offsets) -> Offsets:
        """Offsets in ``shown`` (code points, its end included) as offsets in the text."""
        return offsets if self.origin is None else self.origin[offsets]


# Every character of str.isspace() lies at or below U+3000 (IDEOGRAPHIC SPACE), every one of category Cc below U+00A0.
_BLANK: Final = {
    code: "\n" if len(f"{chr(code)}-".splitlines()) > 1 else " "
    for code in range(0x3001)
    if chr(code).isspace() or unicodedata.category(chr(code)) == "Cc"
}
_DAKUTEN, _HANDAKUTEN = "\u3099", "\u309a"
_HALF_WIDTH_MARK: Final = {"\uff9e": _DAKUTEN, "\uff9f": _HANDAKUTEN}

# U+FF61-FF9D: half-width 。「」、・ and katakana. Their marks U+FF9E and U+FF9F are shown as the stand-alone ゛ and ゜
# unless they compose with the kana before them.
_UNIDIC: Final = (
    _BLANK
    | {code: chr(code + 0xFEE0) for code in range(0x21, 0x7F)}
    | {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF61, 0xFF9E)}
    | {0xFF9E: "゛", 0xFF9F: "゜"}
)
_MARKED_KANA: Final = re.compile("[\u3041-\u3096\u309d\u30a1-\u30fa\u30fd\uff66-\uff9d][\u3099\u309a\uff9e\uff9f]")

_TABLES: Final = {Normalisation.UNIDIC: _UNIDIC, Normalisation.NONE: _BLANK}


def show(text: str, normalisation: Normalisation) -> ShownForm:
    """The shown form of ``text``. It never has more code points than the text, and fewer only where kana compose."""
    table = _TABLES[normalisation]
    if normalisation is Normalisation.UNIDIC and _MARKED_KANA.search(text):
        return _show_composed(text)
    return ShownForm(text.translate(table), None)


def _show_composed(text: str) -> ShownForm:
    """The shown form of a text in which a kana is followed by a mark that may compose with it."""
    pieces = []
    swallowed = []  # offsets of the marks that vanish into the kana before them
    end = 0
    for match in _MARKED_KANA.finditer(text):
        composed = _compose(match.group())
        if composed is None:
            continue
        pieces += [text[end : match.start()].translate(_UNIDIC), composed]
        swallowed.append(match.start() + 1)
        end = match.end()
    pieces.append(text[end:].translate(_UNIDIC))
    origin = np.delete(np.arange(len(text) + 1, dtype=np.int32), swallowed)
    return ShownForm("".join(pieces), origin)


def _compose(pair: str) -> str | None:
    """The one character that a kana and a mark make, or None where there is none (ア゙)."""
    kana, mark = pair[0], pair[1]
    composed = unicodedata.normalize("NFKC", kana + _HALF_WIDTH_MARK.get(mark, mark))
    return composed if len(composed) == 1 else None
