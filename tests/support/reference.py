"""The reference analysis: fugashi.Tagger called once a sentence, one Python object a token. Slow and obvious."""

from __future__ import annotations

import csv
import subprocess
import sys
from functools import cache
from pathlib import Path
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
def _tagger(words: Path | None) -> Any:
    return fugashi.Tagger(f"-u '{words}'" if words else "")


def compile_words(lines: list[str], normalisation: Normalisation, folder: Path) -> Path:
    """A user dictionary for the reference, of sound lines: the surface's shown form, then the line as it stands."""
    shown = []
    for line in lines:
        surface = next(csv.reader([line]))[0]
        rest = line[len(surface) :] if line.startswith(surface) else line[line.index('",') + 1 :]
        form = show(surface, normalisation).shown
        shown.append(('"' + form.replace('"', '""') + '"' if set(form) & set('",') else form) + rest)
    return index(("\n".join(shown) + "\n").encode(), folder)


def index(content: bytes, folder: Path) -> Path:
    """A CSV as MeCab's own indexer compiles it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reference.csv").write_bytes(content)
    arguments = f"x -d '{unidic_lite.DICDIR}' -u reference.dic -f utf8 -t utf8 reference.csv"
    program = f"import fugashi; fugashi.build_dictionary({arguments!r})"
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, capture_output=True)
    return folder / "reference.dic"


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


def reference_tokens(text: str, normalisation: Normalisation, words: Path | None = None) -> dict[str, list[Any]]:
    """The token columns of schema v1 for one text, as plain lists; ``words`` is a compiled user dictionary."""
    columns: dict[str, list[Any]] = {"sentence_start": [], "surface": [], "start": [], "is_unknown": []}
    columns |= {name: [] for name in (*_STARRED, *_EMPTY, *_FALLBACK)}
    form = show(text, normalisation)
    origin = list(range(len(text) + 1)) if form.origin is None else form.origin.tolist()
    for start, end in cut_sentences(form.shown):
        position = start
        nodes = _tagger(words)(form.shown[start:end])
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
                columns[name].append(None if value in {"*", ""} else value)
            for name, feature in _EMPTY.items():
                columns[name].append(getattr(node.feature, feature) or None)
            for name, feature in _FALLBACK.items():
                columns[name].append(getattr(node.feature, feature) or surface)
            position += len(node.surface)
    return columns
