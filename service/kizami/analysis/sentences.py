"""Sentences: where a text is cut before MeCab sees it.

A line ends a sentence, and so does 。！？ (one or more, ASCII and half-width forms too) outside brackets. Inside
brackets nothing is cut, because the words around a quotation hang together: 「行く。」と言った。 is one sentence. On
literary text this keeps 99.95 % of the tokens of a whole line where cutting inside quotations keeps 99.91 %.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from kizami.analysis.shown import Offsets, code_points

MAX_SENTENCE: Final = 4096
"""Code points in one call of MeCab at the most: far longer ones crash the process."""

_OTHER, _LINE_END, _OPENING, _CLOSING, _ENDING = range(5)
_KINDS: Final = {
    _LINE_END: "\n",
    _OPENING: "「『（［｛〈《【〔“‘｢(",
    _CLOSING: "」』）］｝〉》】〕”’｣)",
    _ENDING: "。！？｡!?",
}
_KIND_OF: Final = np.zeros(0x10000, np.uint8)  # _OTHER, like all beyond the basic plane
for _kind, _characters in _KINDS.items():
    _KIND_OF[code_points(_characters)] = _kind
_SPACE: Final = ord(" ")

# Kinds of character, one alternative each; what fits none of them is a kind of its own.
_SCRIPT: Final = re.compile(
    "[\u3041-\u309f]+|[\u30a0-\u30ff]+|[\u3400-\u9fff\uf900-\ufaff々〆]+|[A-Za-zＡ-Ｚａ-ｚ]+|[0-9０-９]+|."
)


def cut_sentences(shown: str) -> tuple[Offsets, Offsets]:
    """The sentences of a shown form: where each starts and ends, in code points.

    They come in order, cover everything but line ends and white space, and are never blank nor longer than
    ``MAX_SENTENCE``.
    """
    points = code_points(shown)
    kinds = _KIND_OF[np.minimum(points, len(_KIND_OF) - 1)]
    marks = np.flatnonzero(kinds)
    kind = kinds[marks]
    line_end = kind == _LINE_END
    following = np.append(kinds, np.uint8(_OTHER))[marks + 1]
    ends_sentence = (kind == _ENDING) & (following != _ENDING) & (following != _CLOSING) & (_depths(kind) == 0)
    cut = line_end | ends_sentence
    ends = np.append(marks[cut] + ends_sentence[cut], len(points))
    starts = np.concatenate(([0], marks[cut] + 1))
    inked = np.concatenate(([0], np.cumsum(points != _SPACE)))
    written = inked[ends] > inked[starts]
    starts, ends = starts[written], ends[written]
    if (ends - starts > MAX_SENTENCE).any():
        return _cut_long(shown, starts, ends)
    return starts, ends


def _depths(kind: npt.NDArray[np.uint8]) -> Offsets:
    """How many brackets are open after each mark. A line starts with none; closing what is not open changes nothing."""
    level = np.cumsum((kind == _OPENING).astype(np.int64) - (kind == _CLOSING))
    line = np.cumsum(kind == _LINE_END)
    # Level within the line: less what it was at the line's end before it.
    level -= np.concatenate(([0], level[kind == _LINE_END]))[line]
    # The lowest level so far counts as zero. A step down from line to line that no level can bridge makes each line
    # start its minimum anew; the 0 is that of the line's own start.
    step = line * (len(kind) + 1)
    lowest = np.minimum.accumulate(np.minimum(level, 0) - step) + step
    depths: Offsets = level - lowest
    return depths


def _cut_long(shown: str, starts: Offsets, ends: Offsets) -> tuple[Offsets, Offsets]:
    """Cut what is longer than ``MAX_SENTENCE`` into pieces, and leave blank ones out."""
    pieces: list[tuple[int, int]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        at = start
        while end - at > MAX_SENTENCE:
            cut = _last_cut(shown, at, at + MAX_SENTENCE)
            pieces.append((at, cut))
            at = cut
        pieces.append((at, end))
    kept = np.array([piece for piece in pieces if not shown[slice(*piece)].isspace()], np.int64)
    return kept[:, 0], kept[:, 1]


def _last_cut(shown: str, start: int, limit: int) -> int:
    """Where to cut a sentence that goes on beyond ``limit``: after the last space or 、, else at the last change of
    character kind, else at ``limit``. Always beyond ``start``.
    """
    after_pause = max(shown.rfind(" ", start, limit), shown.rfind("、", start, limit)) + 1
    if after_pause > start:
        return after_pause
    last_script = limit
    for script in _SCRIPT.finditer(shown, start, limit):
        last_script = script.start()
    return last_script if last_script > start else limit
