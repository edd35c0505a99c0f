"""Texts on their way from a source to their part: one Arrow table for all of it.

A record of the source becomes one row a text. What cannot become a text keeps a row too, so that nothing disappears:

- a document with a fault: each of its texts is a row with ``reason`` set and ``text`` null; one without any text is one
  row with ``field`` null;
- a record that cannot be parsed: one row with only ``reason``, ``message``, ``file`` and ``line``;
- a sound document without any text (all fields null): one row with ``field``, ``text`` and ``reason`` null, so that its
  id still counts when another document has the same one.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kizami.strings import joined_bytes

_HASH_BYTES: Final = 16
_SHORT_BYTES: Final = 200
"""Mean length of texts up to which it pays to find equal ones first: short ones are often the same."""

TEXTS: Final = pa.schema(
    [
        pa.field("doc_id", pa.string()),  # null: the record has no usable id
        pa.field("field", pa.int16()),  # index into the corpus's configured fields
        pa.field("position", pa.int32()),  # index in a list-valued field, else 0
        pa.field("text", pa.string()),  # null: a fault, or no text at all
        pa.field("text_hash", pa.string()),  # 32 hex digits; null where text is null
        pa.field("reason", pa.string()),  # a Reason; null: sound
        pa.field("message", pa.string()),  # one line for a person, without the text; null where reason is null
        pa.field("file", pa.int32(), nullable=False),  # index into the run's sorted list of source files
        pa.field("line", pa.int64(), nullable=False),  # 1-based line of the file; of a Parquet file, its row
    ]
)


class Reason(StrEnum):
    """Why a text went to ``quarantine/`` instead of the snapshot."""

    NULL_ID = "null_id"
    """The document's id is null, empty or missing."""
    BAD_ID = "bad_id"
    """The document's id is neither a string nor an integer, is not valid Unicode, or is longer than 1,024 bytes."""
    DUPLICATE_ID = "duplicate_id"
    """Several documents have this id; all of them are held back."""
    INVALID_UNICODE = "invalid_unicode"
    """A field holds a lone surrogate or bytes that are not UTF-8."""
    NOT_TEXT = "not_text"
    """A field holds a number, a boolean or a structure where a string or a list of strings is expected."""
    TOO_LARGE = "too_large"
    """The document's texts pass the size limit, or a record is too long to be parsed at all."""
    UNPARSABLE = "unparsable"
    """The record is not valid JSON or CSV."""
    ANALYSIS_FAILED = "analysis_failed"
    """The analyser gave no tokens that rebuild the text, crashed on it or did not finish; the message says which."""


def text_hash(text_utf8: bytes) -> str:
    """Return the first 16 bytes of the text's SHA-256 as 32 hex digits: the ``text_hash`` of a row."""
    return hashlib.sha256(text_utf8).hexdigest()[: 2 * _HASH_BYTES]


def text_digests(texts: pa.StringArray) -> npt.NDArray[np.uint8]:
    """The first 16 bytes of each text's SHA-256, shape (texts, 16). There must be no nulls."""
    if len(joined_bytes(texts)) > _SHORT_BYTES * len(texts):
        return _each_digest(texts)
    encoded = texts.dictionary_encode()
    digests: npt.NDArray[np.uint8] = _each_digest(encoded.dictionary)[encoded.indices.to_numpy()]
    return digests


def _each_digest(texts: pa.StringArray) -> npt.NDArray[np.uint8]:
    sha256 = hashlib.sha256
    digests = bytearray().join([sha256(text).digest()[:_HASH_BYTES] for text in texts.cast(pa.binary()).to_pylist()])
    return np.frombuffer(digests, np.uint8).reshape(-1, _HASH_BYTES)


def hex_digits(digests: npt.NDArray[np.uint8]) -> pa.StringArray:
    """What ``text_hash`` gives for texts of these digests, shape (texts, 16)."""
    width = 2 * _HASH_BYTES
    offsets = np.arange(len(digests) + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(
        len(digests), pa.py_buffer(offsets), pa.py_buffer(digests.tobytes().hex().encode()), null_count=0
    )
