"""Blocks: rows of texts collected into Arrow tables of bounded size, with what they add to the input digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kizami.sources.records import Document
from kizami.texts import TEXTS, Reason, text_hash

_BLOCK_ROWS: Final = 20_000
_MODULUS: Final = 1 << 256
_NULL: Final = b"-,"
_Row = tuple[bytes | None, int | None, int | None, bytes | None, str | None, str | None, str | None, int]
"""The columns of TEXTS but ``file``."""


@dataclass(frozen=True, slots=True)
class Block:
    """A run of one file's documents, none of them cut."""

    texts: pa.Table
    """Schema ``TEXTS``, in the order of the file, then of the configured fields, then of positions."""
    documents: int
    """Records read: documents sound or not, and records that cannot be parsed."""
    input_digest: int
    """Sum over the rows modulo 2**256; added up over all blocks, it does not depend on files, order or blocks.

    A row counts as the SHA-256 (big endian) of its doc_id, field name, position, text_hash and reason, each as
    ``length ":" UTF-8 ","`` or ``-,`` for null, the position in decimal. A record that cannot be parsed counts as the
    SHA-256 of ``"!"``, its reason, ``"!"`` and the SHA-256 of its bytes without the final ``\\n``.
    """
    doc_ids: pa.Array
    """One element a record, in order; null where the record has no usable id."""
    digests: npt.NDArray[np.uint8]
    """Shape (records, 32): what each record adds to ``input_digest``, a big-endian number."""
    columns: frozenset[str]
    """Names seen in the file so far, at least those configured: columns, and ``list.key`` for keys inside them."""


class BlockBuilder:
    """Collects the rows of one file."""

    def __init__(self, *, file_index: int, fields: Sequence[str], block_bytes: int) -> None:
        self._file_index = file_index
        self._fields = [_netstring(field.encode()) for field in fields]
        self._block_bytes = block_bytes
        self._clear()

    def _clear(self) -> None:
        self._rows: list[_Row] = []
        self._size_bytes = 0
        self._ids: list[bytes | None] = []
        self._digests: list[int] = []

    @property
    def full(self) -> bool:
        """Whether it is time to take a block."""
        return self._size_bytes >= self._block_bytes or len(self._rows) >= _BLOCK_ROWS

    @property
    def empty(self) -> bool:
        """Whether a block would have no rows."""
        return not self._rows

    def add(self, document: Document, line: int) -> None:
        """Add the rows of one document; it always has one at least."""
        doc_id, texts, fault = document
        self._ids.append(doc_id)
        self._digests.append(0)
        id_part = _netstring(doc_id)
        # This loop sees every text of the corpus: what it calls is looked up once.
        append, sha256, from_bytes = self._rows.append, hashlib.sha256, int.from_bytes
        if fault is None and texts:
            size_bytes = digest = 0
            for field, position, utf8 in texts:
                digits = text_hash(utf8)
                counted = b"%s%s%s32:%s,-," % (id_part, self._fields[field], _place(position), digits.encode())
                digest += from_bytes(sha256(counted).digest(), "big")
                size_bytes += len(utf8)
                append((doc_id, field, position, utf8, digits, None, None, line))
            self._digests[-1] += digest
            self._size_bytes += size_bytes
        elif fault is None:
            self._count(id_part + _NULL * 4)
            self._rows.append((doc_id, None, None, None, None, None, None, line))
        else:
            ending = _NULL + _netstring(fault.reason.encode())
            for field, position, _ in texts:
                self._count(id_part + self._fields[field] + _place(position) + ending)
                self._rows.append((doc_id, field, position, None, None, fault.reason, fault.message, line))
            if not texts:
                self._count(id_part + _NULL * 2 + ending)
                self._rows.append((doc_id, None, None, None, None, fault.reason, fault.message, line))

    def add_unparsable(self, reason: Reason, message: str, raw_sha256: bytes, line: int) -> None:
        """Add the row of a record without a document; ``raw_sha256`` is of its bytes without the final ``\\n``."""
        self._ids.append(None)
        self._digests.append(0)
        self._count(b"!%s!%s" % (reason.encode(), raw_sha256))
        self._rows.append((None, None, None, None, None, reason, message, line))

    def take(self, columns: frozenset[str]) -> Block:
        """Return what was added since the last block, and begin a new one."""
        values = list(zip(*self._rows, strict=True)) or [()] * 8
        values.insert(-1, (self._file_index,) * len(self._rows))
        table = pa.Table.from_arrays(
            [pa.array(column, field.type) for column, field in zip(values, TEXTS, strict=True)], schema=TEXTS
        )
        digests = b"".join((digest % _MODULUS).to_bytes(32, "big") for digest in self._digests)
        block = Block(
            table,
            len(self._ids),
            sum(self._digests) % _MODULUS,
            pa.array(self._ids, pa.string()),
            np.frombuffer(digests, np.uint8).reshape(-1, 32),
            columns,
        )
        self._clear()
        return block

    def _count(self, row: bytes) -> None:
        self._digests[-1] += int.from_bytes(hashlib.sha256(row).digest(), "big")


def _netstring(value: bytes | None) -> bytes:
    return _NULL if value is None else b"%d:%s," % (len(value), value)


_PLACES: Final = [_netstring(b"%d" % position) for position in range(256)]


def _place(position: int) -> bytes:
    return _PLACES[position] if position < len(_PLACES) else _netstring(b"%d" % position)
