"""Schema v1: one row a text. Frozen once published; only nullable columns may be appended (see ``compatibility``)."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

MAJOR: Final = 1
MINOR: Final = 0
"""Counts the nullable columns added since v1.0 was published."""


def _field(name: str, type_: pa.DataType, doc: str, *, required: bool = False) -> pa.Field:
    return pa.field(name, type_, nullable=not required, metadata={"doc": doc})


_STRINGS = pa.list_(pa.string())
_INT32S = pa.list_(pa.int32())

SCHEMA: Final = pa.schema(
    [
        _field("doc_id", pa.string(), "Id of the document in its corpus.", required=True),
        _field("field", pa.string(), "Which field of the document: title, ingredients.name, steps.", required=True),
        _field("position", pa.int32(), "Index in a list-valued field, else 0.", required=True),
        _field("text", pa.string(), "The text, exactly as the corpus gave it.", required=True),
        _field(
            "text_hash",
            pa.string(),
            "First 16 bytes of SHA-256 of the text's UTF-8, as 32 hex digits.",
            required=True,
        ),
        _field("sentence_start", _INT32S, "Index of each sentence's first token. Sentences without tokens have none."),
        _field(
            "surface",
            _STRINGS,
            "The token as written: always text[start : start + len(surface)], counted in code points.",
        ),
        _field("start", _INT32S, "Offset of the token in text, in code points."),
        _field("pos1", _STRINGS, "UniDic part of speech, level 1. Null where UniDic has *."),
        _field("pos2", _STRINGS, "UniDic part of speech, level 2. Null where UniDic has *."),
        _field("pos3", _STRINGS, "UniDic part of speech, level 3. Null where UniDic has *."),
        _field("pos4", _STRINGS, "UniDic part of speech, level 4. Null where UniDic has *."),
        _field("c_type", _STRINGS, "Conjugation type, 活用型 (UniDic cType). Null where UniDic has *."),
        _field("c_form", _STRINGS, "Conjugation form, 活用形 (UniDic cForm). Null where UniDic has *."),
        _field(
            "lemma",
            _STRINGS,
            "Lemma, 語彙素, as UniDic writes it; loanwords carry their origin (レンジ-range). "
            "The surface where UniDic has none. Never null.",
        ),
        _field(
            "orth_base",
            _STRINGS,
            "Dictionary form as written, 書字形基本形 (orthBase). The surface where UniDic has none. Never null.",
        ),
        _field("l_form", _STRINGS, "Reading of the lemma in katakana, 語彙素読み (lForm). Null where there is none."),
        _field("pron", _STRINGS, "Pronunciation in katakana, 発音形 (UniDic pron). Null where there is none."),
        _field("goshu", _STRINGS, "Word origin, 語種: 和, 漢, 外, 混, 固, 記号 and others. Null where there is none."),
        _field("is_unknown", pa.list_(pa.bool_()), "True where the token is not in the dictionary."),
    ]
)

TOKEN_COLUMNS: Final = tuple(SCHEMA.names[SCHEMA.get_field_index("surface") :])
"""The columns with one element a token, in order."""
