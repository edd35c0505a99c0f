"""The reference analysis: fugashi.Tagger called once a sentence, one Python object a token. Slow and obvious."""

from __future__ import annotations

from functools import cache
from typing import Any

import fugashi
import unidic_lite

from kizami.analysis.shown import Normalisation
from support.slow_sentences import cut_sentences
from support.slow_shown import show

_STARRED = {"pos1": "pos1", "pos2": "pos2", "pos3": "pos3", "pos4": "pos4", "c_type": "cType", "c_form": "cForm"}
_EMPTY = {"l_form": "lForm", "pron": "pron", "goshu": "goshu"}
_FALLBACK = {"lemma": "lemma", "orth_base": "orthBase"}


@cache
def _tagger() -> Any:
    return fugashi.Tagger()


@cache
def _printer() -> Any:
    folder = unidic_lite.DICDIR
    return fugashi.GenericTagger(f"-r /dev/null -d '{folder}' -O '' -F'%m\\t%H\\n' -U'%m\\t%H\\n' -E ''")


def printed_tokens(shown: str, spans: list[tuple[int, int]]) -> set[tuple[int, str]]:
    """The tokens of some spans of a shown form: offset in code points, surface and features as MeCab prints them."""
    tokens = set()
    for start, end in spans:
        position = start
        for printed in filter(None, _printer().parse(shown[start:end]).split("\n")):
            surface = printed.partition("\t")[0]
            position = shown.index(surface, position)
            tokens.add((position, printed))
            position += len(surface)
    return tokens


def reference_tokens(text: str, normalisation: Normalisation) -> dict[str, list[Any]]:
    """The token columns of schema v1 for one text, as plain lists."""
    columns: dict[str, list[Any]] = {"sentence_start": [], "surface": [], "start": [], "is_unknown": []}
    columns |= {name: [] for name in (*_STARRED, *_EMPTY, *_FALLBACK)}
    form = show(text, normalisation)
    origin = list(range(len(text) + 1)) if form.origin is None else form.origin.tolist()
    for start, end in cut_sentences(form.shown):
        position = start
        nodes = _tagger()(form.shown[start:end])
        if nodes:
            columns["sentence_start"].append(len(columns["surface"]))
        for node in nodes:
            position += len(node.white_space)
            surface = text[origin[position] : origin[position + len(node.surface)]]
            columns["start"].append(origin[position])
            columns["surface"].append(surface)
            columns["is_unknown"].append(node.is_unk)
            for name, feature in _STARRED.items():
                value = getattr(node.feature, feature)
                columns[name].append(None if value == "*" else value)
            for name, feature in _EMPTY.items():
                columns[name].append(getattr(node.feature, feature) or None)
            for name, feature in _FALLBACK.items():
                columns[name].append(getattr(node.feature, feature) or surface)
            position += len(node.surface)
    return columns
