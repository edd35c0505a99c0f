"""Blocks: records collected into Arrow tables of texts of bounded size, each record with its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.runs import sums
from kizami.sources.records import Document
from kizami.strings import strings_of
from kizami.texts import TEXTS, Reason, hex_digits, text_digests

BLOCK_BYTES: Final = 8 << 20
_BLOCK_RECORDS: Final = 20_000
_BLOCK_ROWS: Final = 100_000
_NONE: Final = b"-,"
_SOUND: Final = _NONE * 2
_ROW: Final = np.dtype([("field", "<i2"), ("position", "<i4"), ("text_digest", "V16")])
"""A text in its record's digest."""

_Int16s = npt.NDArray[np.int16]
_Int32s = npt.NDArray[np.int32]
_Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """A run of one file's records, or of several small files', none of them cut."""

    texts: pa.Table
    """Schema ``TEXTS``, in the order of the file, then of the configured fields, then of positions."""
    doc_ids: pa.StringArray
    """One element a record, in the order of the file: documents, sound or not, and records that cannot be parsed. Null
    where the record has no usable id."""
    text_counts: _Int64s
    """Of each record, the rows of ``texts`` that must end up in a row or in quarantine."""
    text_bytes: _Int64s
    """Of each record, the UTF-8 bytes of its sound texts."""
    digests: npt.NDArray[np.uint8]
    """Shape (records, 32). A record's digest is the SHA-256 of three netstrings (``length ":" bytes ","``, ``-,`` for
    none: doc_id, reason, SHA-256 of a record that cannot be parsed without its final ``\\n``) and then of 22 bytes a
    text: index of the field (int16) and position (int32), little endian, and the 16 bytes of text_hash, zeros in a
    document with a fault. Added up modulo 2**256 (big endian) they do not depend on files, order or blocks."""
    columns: frozenset[str]
    """Names seen in the file so far, at least those configured: columns, and ``list.key`` for keys inside them."""
    lines: Mapping[int, int] = field(default_factory=dict)
    """By the number of a file, the lines of it so far, where it is a piece whose lines are counted from its
    beginning."""

    @property
    def documents(self) -> int:
        """Records read: documents sound or not, and records that cannot be parsed."""
        return len(self.doc_ids)

    def without(self, doc_ids: pa.StringArray) -> Block:
        """The block without the records of these documents."""
        kept = pc.invert(pc.is_in(self.doc_ids, doc_ids))
        chosen = kept.to_numpy(zero_copy_only=False)
        return replace(
            self,
            texts=self.texts.filter(pc.invert(pc.is_in(self.texts["doc_id"], doc_ids))),
            doc_ids=self.doc_ids.filter(kept),
            text_counts=self.text_counts[chosen],
            text_bytes=self.text_bytes[chosen],
            digests=self.digests[chosen],
        )


def gathered(blocks: Iterable[Block], *, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """The blocks of several files, small ones put together: no more of them than the records and texts ask for."""
    waiting: list[Block] = []
    for block in blocks:
        whole = [*waiting, block]
        if waiting and not _fits(whole, block_bytes):
            yield _merged(waiting)
            whole = [block]
        waiting = whole
    if waiting:
        yield _merged(waiting)


def _fits(blocks: Sequence[Block], block_bytes: int) -> bool:
    return (
        sum(block.documents for block in blocks) <= _BLOCK_RECORDS
        and sum(block.texts.num_rows for block in blocks) <= _BLOCK_ROWS
        and sum(int(block.text_bytes.sum()) for block in blocks) <= block_bytes
    )


def _merged(blocks: Sequence[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return Block(
        texts=pa.concat_tables([block.texts for block in blocks]).combine_chunks(),
        doc_ids=pa.concat_arrays([block.doc_ids for block in blocks]),
        text_counts=np.concatenate([block.text_counts for block in blocks]),
        text_bytes=np.concatenate([block.text_bytes for block in blocks]),
        digests=np.concatenate([block.digests for block in blocks]),
        columns=frozenset[str]().union(*(block.columns for block in blocks)),
        lines={number: lines for block in blocks for number, lines in block.lines.items()},
    )


@dataclass(frozen=True, slots=True)
class TextColumns:
    """Records of a file in columns, and their texts."""

    doc_ids: pa.StringArray
    """An element a record."""
    lines: _Int64s
    """An element a record: its 1-based line in the file."""
    counts: _Int64s
    """An element a record: how many of the texts are its."""
    fields: _Int16s
    """An element a text, in the order of the records: index into the configured fields."""
    positions: _Int32s
    texts: pa.StringArray


@dataclass(frozen=True, slots=True)
class _HeldBack:
    """Why a record is not sound."""

    reason: Reason
    message: str
    raw_sha256: bytes | None = None


class BlockBuilder:
    """Collects the records of one file."""

    def __init__(self, *, file_index: int, block_bytes: int) -> None:
        self._file_index = file_index
        self._block_bytes = block_bytes
        self._clear()
        self._clear_records()

    def _clear(self) -> None:
        self._columns: list[TextColumns] = []
        self._held_back: dict[int, _HeldBack] = {}
        self._records = 0
        self._rows = 0
        self._size_bytes = 0

    def _clear_records(self) -> None:
        self._ids: list[bytes | None] = []
        self._lines: list[int] = []
        self._counts: list[int] = []
        self._fields: list[int] = []
        self._positions: list[int] = []
        self._texts: list[bytes] = []

    @property
    def full(self) -> bool:
        """Whether it is time to take a block."""
        return self._size_bytes >= self._block_bytes or self._records >= _BLOCK_RECORDS or self._rows >= _BLOCK_ROWS

    @property
    def empty(self) -> bool:
        """Whether a block would have no rows."""
        return not self._records

    def add(self, document: Document, line: int) -> None:
        """Add one document."""
        doc_id, texts, fault = document
        if fault is not None:
            self._held_back[self._records] = _HeldBack(fault.reason, fault.message)
        self._add_record(doc_id, line, len(texts))
        if texts:
            fields, positions, values = zip(*texts, strict=True)
            if fault is not None:
                values = (b"",) * len(texts)
            self._fields += fields
            self._positions += positions
            self._texts += values
            self._size_bytes += sum(map(len, values))

    def add_unparsable(self, reason: Reason, message: str, raw_sha256: bytes, line: int) -> None:
        """Add a record without a document; ``raw_sha256`` is of its bytes without the final ``\\n``."""
        self._held_back[self._records] = _HeldBack(reason, message, raw_sha256)
        self._add_record(None, line, 0)

    def add_columns(self, columns: TextColumns) -> None:
        """Add sound documents, all of them with an id."""
        self._flush_records()
        self._columns.append(columns)
        self._records += len(columns.doc_ids)
        self._rows += len(columns.texts)
        self._size_bytes += columns.texts.nbytes

    def _add_record(self, doc_id: bytes | None, line: int, texts: int) -> None:
        self._ids.append(doc_id)
        self._lines.append(line)
        self._counts.append(texts)
        self._records += 1
        self._rows += texts or 1

    def _flush_records(self) -> None:
        """Turn what was added record by record into columns."""
        if self._ids:
            columns = TextColumns(
                doc_ids=pa.array(self._ids, pa.string()),
                lines=np.array(self._lines, np.int64),
                counts=np.array(self._counts, np.int64),
                fields=np.array(self._fields, np.int16),
                positions=np.array(self._positions, np.int32),
                texts=strings_of(self._texts),
            )
            self._columns.append(columns)
            self._clear_records()

    def take(self, columns: frozenset[str], *, lines: int | None = None) -> Block:
        """Return what was added since the last block, and begin a new one. ``lines``: of a piece, so far."""
        self._flush_records()
        block = _block(_concatenated(self._columns), self._held_back, self._file_index, columns)
        self._clear()
        return block if lines is None else replace(block, lines={self._file_index: lines})


def _concatenated(several: Sequence[TextColumns]) -> TextColumns:
    if len(several) == 1:
        return several[0]
    strings = pa.array([], pa.string())
    return TextColumns(
        doc_ids=pa.concat_arrays([strings, *(each.doc_ids for each in several)]),
        lines=np.concatenate([np.zeros(0, np.int64), *(each.lines for each in several)]),
        counts=np.concatenate([np.zeros(0, np.int64), *(each.counts for each in several)]),
        fields=np.concatenate([np.zeros(0, np.int16), *(each.fields for each in several)]),
        positions=np.concatenate([np.zeros(0, np.int32), *(each.positions for each in several)]),
        texts=pa.concat_arrays([strings, *(each.texts for each in several)]),
    )


def _block(records: TextColumns, held_back: dict[int, _HeldBack], file_index: int, columns: frozenset[str]) -> Block:
    is_sound = np.ones(len(records.counts), np.bool_)
    is_sound[list(held_back)] = False
    record_of_text = np.repeat(np.arange(len(is_sound)), records.counts)
    is_sound_text = is_sound[record_of_text]
    text_hash = text_digests(records.texts)
    text_hash[~is_sound_text] = 0
    # A record without texts has a row all the same.
    row_counts = np.maximum(records.counts, 1)
    record = np.repeat(np.arange(len(is_sound)), row_counts)
    has_text = np.repeat(records.counts > 0, row_counts)
    text = _places(has_text, has_text)
    sound_text = _places(has_text, has_text & is_sound[record])
    table = pa.Table.from_arrays(
        [
            records.doc_ids.take(pa.array(record)),
            _at(pa.array(records.fields), text),
            _at(pa.array(records.positions), text),
            _at(records.texts, sound_text),
            _at(hex_digits(text_hash), sound_text),
            _held_back_column(held_back, "reason", record),
            _held_back_column(held_back, "message", record),
            pa.array(np.full(len(record), file_index, np.int32)),
            pa.array(records.lines[record]),
        ],
        schema=TEXTS,
    )
    sizes = pc.binary_length(records.texts).to_numpy().astype(np.int64)
    return Block(
        texts=table,
        doc_ids=records.doc_ids,
        text_counts=np.where(is_sound, records.counts, row_counts),
        text_bytes=sums(sizes * is_sound_text, records.counts),
        digests=_digests(records, text_hash, held_back),
        columns=columns,
    )


def _places(has_text: npt.NDArray[np.bool_], wanted: npt.NDArray[np.bool_]) -> pa.Int64Array | None:
    """For each row the place of its text, null where it is not wanted; None where it is all of them, in order."""
    return None if wanted.all() else pa.array(np.cumsum(has_text) - 1, mask=~wanted)


def _at(values: pa.Array, places: pa.Int64Array | None) -> pa.Array:
    return values if places is None else values.take(places)


def _held_back_column(held_back: dict[int, _HeldBack], name: str, record: _Int64s) -> pa.StringArray:
    """An attribute of the records held back, for each row of ``record``."""
    if not held_back:
        return pa.nulls(len(record), pa.string())
    values = {number: getattr(why, name) for number, why in held_back.items()}
    return pa.array([values.get(number) for number in record.tolist()], pa.string())


def _digests(
    records: TextColumns, text_hash: npt.NDArray[np.uint8], held_back: dict[int, _HeldBack]
) -> npt.NDArray[np.uint8]:
    rows = np.zeros(len(text_hash), _ROW)
    rows["field"], rows["position"] = records.fields, records.positions
    rows["text_digest"] = text_hash.view("V16").ravel()
    data = memoryview(rows.tobytes())
    ends = (np.cumsum(records.counts) * _ROW.itemsize).tolist()
    sha256 = hashlib.sha256
    digests = []
    begin = 0
    for record, (doc_id, end) in enumerate(zip(records.doc_ids.cast(pa.binary()).to_pylist(), ends, strict=True)):
        head = _netstring(doc_id)
        why = held_back.get(record)
        head += _SOUND if why is None else _netstring(why.reason.encode()) + _netstring(why.raw_sha256)
        digests.append(sha256(head + data[begin:end]).digest())
        begin = end
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def _netstring(value: bytes | None) -> bytes:
    return _NONE if value is None else b"%d:%b," % (len(value), value)
