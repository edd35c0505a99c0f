"""Part files: rows as Parquet, in a version of the schema, written the same way every time."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kizami.encoded import ROWS, STRING_COLUMNS, codes_of, encoded, looked_up, with_nulls
from kizami.errors import DataError
from kizami.round_trip import broken_rows
from kizami.runs import run_offsets
from kizami_schemas.versions import V1, SchemaVersion

ROW_GROUP_ROWS: Final = 40_000
ROW_GROUP_TOKENS: Final = 250_000
"""A row group ends with the row that brings it to either. Measured on 4.2 million tokens: groups of 1,000 rows are a
fifth larger, whole files twice as slow to look one document up in. Of texts of three tokens, groups of 10,000 rows are
a fifth larger than those of 40,000 and their footer over three times as long, beyond what Arrow reads at once."""

_STALE: Final = 1.05
"""How much higher the codes of surfaces may be on average than the frequencies of the values ask for, before a
dictionary is ordered anew: small codes compress better."""

_FAILURES_KEY: Final = "kizami.analysis_failures"
_TAKEN_OVER_KEY: Final = "kizami.rows_taken_over"


@dataclass(frozen=True, slots=True)
class PartReport:
    """What a finished part file holds."""

    rows: int
    tokens: int
    unknown_tokens: int
    size_bytes: int
    sha256: str
    misplaced_rows: int = 0
    """Rows outside the part's bounds, and rows whose (doc_id, field, position) does not come after that of the row
    before; without any, no key is there twice."""
    broken_rows: int = 0
    """Rows whose tokens do not rebuild their text (``kizami.round_trip``)."""


class PartWriter:
    """Writes one part file: tables of analysed rows in, row groups of a version of the schema out, in bounded memory.

    The same rows give the same row groups whatever the tables they come in. Without any row the file has no row group.
    The dictionaries of a row group hold the values that occur, the more frequent ones first; those of rows taken over
    from a row group of old may go on as they were (``write``).
    """

    def __init__(self, path: Path, *, fingerprint: str, run: str, version: SchemaVersion = V1) -> None:
        self._version = version
        self._columns = encoded(version.schema)
        metadata = {
            "kizami.schema": version.name,
            "kizami.fingerprint": fingerprint,
            "kizami.run": run,
        }
        # What is written holds Arrow dictionaries; the Arrow schema that readers are told holds plain strings.
        told = base64.b64encode(version.schema.with_metadata(metadata).serialize()).decode()
        self._metadata = metadata | {"ARROW:schema": told}
        self._writer = pq.ParquetWriter(
            path,
            self._columns,
            store_schema=False,
            use_dictionary=_dictionary_encoded(version.schema),
            # Offsets only ever grow: as differences they take a seventh of the space on long texts.
            column_encoding={"start.list.element": "DELTA_BINARY_PACKED"},
            compression="zstd",
            # Many more levels at once than the default of 1,024: the same bytes, for a little less time.
            write_batch_size=1 << 17,
            compression_level=3,
            data_page_version="1.0",
            # Statistics of the columns one filters by; of the token columns they would only fill the footer.
            write_statistics=["doc_id", "field", "position", "text_hash"],
        )
        self._pending: list[pa.Table] = []
        self._is_ordered = False
        self._pending_tokens = 0
        self._pending_rows = 0

    def room(self, tokens: npt.NDArray[np.integer[Any]]) -> int:
        """How many of the next rows, of which each has so many tokens, the row group to be written takes: at least
        one."""
        total = self._pending_tokens + np.cumsum(tokens[: ROW_GROUP_ROWS - self._pending_rows])
        return min(len(total), int(np.searchsorted(total, ROW_GROUP_TOKENS)) + 1)

    def write(self, rows: pa.Table, *, is_ordered: bool = False) -> None:
        """Append analysed rows, schema v1, strings of tokens plain or dictionary-encoded.

        ``is_ordered``: in their dictionaries no value is null, stands twice or does not occur, and the more frequent
        ones come first, or did before a few rows changed. Where such rows, one chunk a column, make a whole row group
        and the order is still much the same, the values keep it, which saves most of the work. Raises DataError where
        the version makes other rows of them than it promises.
        """
        rows = rows if rows.schema.equals(ROWS) else rows.cast(ROWS)
        tokens = pc.list_value_length(rows["start"]).to_numpy()
        self._is_ordered = is_ordered and not self._pending and self.room(tokens) == len(rows)
        while len(rows):
            take = self.room(tokens)
            self._pending.append(rows.slice(0, take))
            self._pending_rows += take
            self._pending_tokens += int(tokens[:take].sum())
            if self._pending_rows >= ROW_GROUP_ROWS or self._pending_tokens >= ROW_GROUP_TOKENS:
                self._flush()
            rows, tokens = rows.slice(take), tokens[take:]

    def _flush(self) -> None:
        if self._pending:
            rows = pa.concat_tables(self._pending)
            codes = _Codes(pc.list_value_length(rows["start"]).to_numpy().astype(np.int64))
            group = self._derived(rows)
            is_ordered = self._is_ordered and _is_fresh(rows["surface"])
            columns = [_column(group[field.name], field, codes, is_ordered) for field in self._columns]
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._columns), row_group_size=len(group))
        self._pending, self._pending_rows, self._pending_tokens = [], 0, 0

    def _derived(self, rows: pa.Table) -> pa.Table:
        made = self._version.derive(rows)
        if (len(made), made.schema.names) != (len(rows), self._columns.names):
            raise DataError(
                f"schema version {self._version.name} made {len(made)} rows of {len(rows)} with the columns "
                f"{', '.join(made.schema.names)}: correct what derives it"
            )
        return made

    def finish(self, failures: Sequence[dict[str, Any]], *, taken_over: int = 0) -> None:
        """End the file. ``failures`` are the texts of this part that could not be analysed, ``taken_over`` counts the
        rows whose tokens come from the predecessor.

        They are kept in its metadata so that a run that takes the file over can report them again; they hold no text.
        """
        self._flush()
        recorded = {_FAILURES_KEY: json.dumps(failures, ensure_ascii=False)}
        if taken_over:
            recorded[_TAKEN_OVER_KEY] = str(taken_over)
        self._writer.add_key_value_metadata(self._metadata | recorded)
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def _dictionary_encoded(schema: pa.Schema) -> list[str]:
    """The columns to be written with dictionaries: all but ``start`` and the flags."""
    plain = [field.name for field in schema if not pa.types.is_list(field.type)]
    lists = [
        field.name
        for field in schema
        if pa.types.is_list(field.type) and field.type.value_type != pa.bool_() and field.name != "start"
    ]
    return [*plain, *(f"{name}.list.element" for name in lists)]


def _column(values: pa.ChunkedArray, field: pa.Field, codes: _Codes, is_ordered: bool) -> pa.Array:
    """A column of a row group as one array, as Parquet is to write it."""
    if field.name in STRING_COLUMNS and values.type == field.type:
        return values.chunk(0) if is_ordered and values.num_chunks == 1 else codes.merged(values)
    if pa.types.is_list(field.type) and pa.types.is_dictionary(field.type.value_type):
        # A column of a version's own: as plain strings first, so that its dictionary follows from the rows alone.
        values = values.cast(pa.list_(pa.string()))
    return values.combine_chunks().cast(field.type)


def _is_fresh(column: pa.ChunkedArray) -> bool:
    """Whether in the dictionary of a column of lists, one chunk, the more frequent values still come first, nearly."""
    codes = codes_of(column.chunk(0).flatten())
    frequency = np.bincount(codes[codes >= 0]) if (codes < 0).any() else np.bincount(codes)
    places = np.arange(len(frequency))
    return bool(frequency @ places <= _STALE * (np.sort(frequency)[::-1] @ places))


class _Codes:
    """Makes one dictionary of the several of a column's chunks, for Parquet to write as it is.

    The dictionary holds the values that occur, each once, the more frequent ones first, equally frequent ones as they
    first occur in the rows: equal rows make equal bytes, and small codes compress better. Columns of tokens often share
    their indices, which are then counted once. ``lengths`` are those of the lists, the same in every column.
    """

    def __init__(self, lengths: npt.NDArray[np.int64]) -> None:
        self._offsets = pa.array(run_offsets(lengths))
        self._counted: dict[tuple[int, int, int], tuple[pa.Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}

    def merged(self, column: pa.ChunkedArray) -> pa.ListArray:
        """A column of lists of dictionary-encoded strings with one dictionary, as one array."""
        chunks = [chunk.flatten() for chunk in column.chunks]
        counted = [self._count(chunk) for chunk in chunks]
        used = [chunk.dictionary.take(pa.array(values)) for chunk, (values, _) in zip(chunks, counted, strict=True)]
        distinct = pa.concat_arrays(used).dictionary_encode()
        code_of = distinct.indices.fill_null(-1).to_numpy()
        frequency = np.bincount(
            code_of + 1, np.concatenate([count for _, count in counted]), len(distinct.dictionary) + 1
        )[1:]
        order = _by_frequency(frequency)
        rank = np.empty(len(order) + 1, np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        rank[-1] = -1  # of null, whose code is -1
        codes = np.empty(sum(map(len, chunks)), np.int32)
        at = done = 0
        for chunk, (values, _) in zip(chunks, counted, strict=True):
            # The last one is found under -1, the code of null.
            final = np.full(len(chunk.dictionary) + 1, -1, np.int32)
            final[values] = rank[code_of[at : at + len(values)]]
            at += len(values)
            codes[done : done + len(chunk)] = looked_up(final, codes_of(chunk))
            done += len(chunk)
        values = pa.DictionaryArray.from_arrays(
            with_nulls(codes), distinct.dictionary.take(pa.array(order)), safe=False
        )
        return pa.ListArray.from_arrays(self._offsets, values)

    def _count(self, chunk: pa.DictionaryArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The indices that occur in a chunk, in the order in which they first do, and how often."""
        indices = chunk.indices
        key = (indices.buffers()[1].address if len(indices) else 0, indices.offset, len(indices))
        if key not in self._counted:
            codes = codes_of(chunk)
            if indices.null_count:
                codes = codes[codes >= 0]
            count = np.bincount(codes)
            first = np.empty(len(count), np.int32)
            first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1, dtype=np.int32)  # the last one written stays
            values = np.flatnonzero(count)
            values = values[np.argsort(first[values])]
            self._counted[key] = (indices, values, count[values])  # kept with the indices, so the address stays theirs
        return self._counted[key][1:]


def _by_frequency(frequency: npt.NDArray[np.number[Any]]) -> npt.NDArray[np.int64]:
    """The places of frequencies below 2**31, the highest first, equal ones in their order."""
    # Sorting numbers is several times as fast as a stable sort of their places.
    keys = (-frequency.astype(np.int64) << 32) + np.arange(len(frequency))
    keys.sort()
    return keys & 0xFFFFFFFF


_INSPECTED: Final = ["doc_id", "field", "position", "text", "surface", "start", "is_unknown"]


def inspect_part(path: Path, lower: str = "", upper: str | None = None) -> PartReport:
    """Count, check and digest a finished part file, one row group at a time.

    ``lower`` and ``upper`` are the part's bounds. It takes about a fortieth of the time that making the part took.
    """
    tokens = unknown = misplaced = broken = 0
    before: pa.Table | None = None
    with pq.ParquetFile(path, read_dictionary=["surface.list.element"]) as file:
        rows = file.metadata.num_rows
        for number in range(file.num_row_groups):
            group = file.read_row_group(number, columns=_INSPECTED, use_threads=False).combine_chunks()
            flags = pc.list_flatten(group["is_unknown"])
            tokens += len(flags)
            unknown += pc.sum(flags).as_py() or 0
            keys = group.select(["doc_id", "field", "position"])
            misplaced += _misplaced(pa.concat_tables([before, keys]) if before else keys)
            misplaced += _outside(keys["doc_id"], lower, upper)
            broken += broken_rows(*(group[name].chunk(0) for name in ("text", "surface", "start")))
            before = keys.slice(len(keys) - 1)
    return PartReport(rows, tokens, unknown, path.stat().st_size, file_sha256(path), misplaced, broken)


def _misplaced(keys: pa.Table) -> int:
    """How many rows do not come after the one before: of a document before, or not of a later place in its field."""
    here, before = keys.slice(1), keys.slice(0, len(keys) - 1)
    again = pc.and_(pc.equal(here["doc_id"], before["doc_id"]), pc.equal(here["field"], before["field"]))
    wrong = pc.or_(
        pc.less(here["doc_id"], before["doc_id"]),
        pc.and_(again, pc.less_equal(here["position"], before["position"])),
    )
    return pc.sum(wrong).as_py() or 0


def _outside(doc_ids: pa.ChunkedArray, lower: str, upper: str | None) -> int:
    outside = pc.less(doc_ids, lower)
    if upper is not None:
        outside = pc.or_(outside, pc.greater_equal(doc_ids, upper))
    return pc.sum(outside).as_py() or 0


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def derive_part(analysed: Path, path: Path, version: SchemaVersion, *, run: str) -> None:
    """Write what a finished part of version 1 holds in another version; one row group at a time is in memory.

    The same part gives the same file but for the ``run`` in its metadata. Raises DataError where the version makes
    other rows of it than it promises.
    """
    read_dictionary = [f"{name}.list.element" for name in STRING_COLUMNS]
    with pq.ParquetFile(analysed, read_dictionary=read_dictionary) as file:
        metadata = file.metadata.metadata or {}
        fingerprint = metadata.get(b"kizami.fingerprint", b"").decode()
        with PartWriter(path, fingerprint=fingerprint, run=run, version=version) as writer:
            for number in range(file.num_row_groups):
                group = file.read_row_group(number, columns=ROWS.names, use_threads=False).combine_chunks()
                columns = [group[field.name].cast(field.type) for field in ROWS]
                writer.write(pa.Table.from_arrays(columns, schema=ROWS))
            writer.finish(read_failures(analysed), taken_over=int(metadata.get(_TAKEN_OVER_KEY.encode(), 0)))


def read_failures(path: Path) -> list[dict[str, Any]]:
    """The texts of a part that could not be analysed, as ``finish`` was given them."""
    metadata = pq.read_metadata(path).metadata or {}
    failures: list[dict[str, Any]] = json.loads(metadata.get(_FAILURES_KEY.encode(), b"[]"))
    return failures


def was_all_analysed(path: Path) -> bool:
    """Whether no row of a part was taken over from a predecessor."""
    return _TAKEN_OVER_KEY.encode() not in (pq.read_metadata(path).metadata or {})
