"""A team's own script: what one writes in an afternoon to have the columns of schema v1 without Kizami.

It shows MeCab each line as it is, without normalisation, which saves it work.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import fugashi
import pandas as pd
import pyarrow.parquet as pq


def analyse_corpus(source: Path, target: Path, fields: list[str]) -> None:
    """Analyse a Parquet file and write its tokens to a Parquet file."""
    tagger = fugashi.Tagger()
    rows = []
    for document in pq.read_table(source).to_pylist():
        for field in fields:
            for position, text in enumerate(texts_of(document, field)):
                if text is not None:
                    row = {"doc_id": document["doc_id"], "field": field, "position": position}
                    rows.append(row | analyse_text(tagger, text))
    pd.DataFrame(rows).to_parquet(target)


def texts_of(document: dict[str, Any], field: str) -> list[str | None]:
    """The texts of a field: a string, a list of strings, or a key of a list of objects (``ingredients.name``)."""
    name, _, key = field.partition(".")
    value = document.get(name)
    values = value if isinstance(value, list) else [value]
    return [value[key] for value in values if value] if key else values


def analyse_text(tagger: Any, text: str) -> dict[str, Any]:
    """The columns of one text."""
    row: dict[str, Any] = {
        "text": text,
        "text_hash": hashlib.sha256(text.encode()).hexdigest()[:32],
        "sentence_start": [],
        "surface": [],
        "start": [],
        "pos1": [],
        "pos2": [],
        "pos3": [],
        "pos4": [],
        "c_type": [],
        "c_form": [],
        "lemma": [],
        "orth_base": [],
        "l_form": [],
        "pron": [],
        "goshu": [],
        "is_unknown": [],
    }
    line_start = 0
    for line in text.split("\n"):
        row["sentence_start"].append(len(row["surface"]))
        end = 0
        for word in tagger(line):
            start = line.index(word.surface, end)
            end = start + len(word.surface)
            feature = word.feature
            row["surface"].append(word.surface)
            row["start"].append(line_start + start)
            row["pos1"].append(none_if_star(feature.pos1))
            row["pos2"].append(none_if_star(feature.pos2))
            row["pos3"].append(none_if_star(feature.pos3))
            row["pos4"].append(none_if_star(feature.pos4))
            row["c_type"].append(none_if_star(feature.cType))
            row["c_form"].append(none_if_star(feature.cForm))
            row["lemma"].append(feature.lemma or word.surface)
            row["orth_base"].append(feature.orthBase or word.surface)
            row["l_form"].append(feature.lForm or None)
            row["pron"].append(feature.pron or None)
            row["goshu"].append(feature.goshu or None)
            row["is_unknown"].append(word.is_unk)
        line_start += len(line) + 1
    return row


def none_if_star(value: str | None) -> str | None:
    """UniDic writes * where there is nothing."""
    return None if value == "*" else value
