"""Pieces: files brought to a size that workers share well, large ones cut and small ones bundled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from kizami.errors import UnavailableError
from kizami.sources.files import SourceFile
from kizami.sources.streams import GuardedFile

PIECE_BYTES: Final = 16 << 20
"""As stored: some seconds of reading. Far below what is large, so that a few workers end at about the same time."""
_MANY_FILES: Final = 64
"""So many keep all workers busy as they are."""
_BUNDLED_FILES: Final = 50

T = TypeVar("T")


def cut_files(files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """The files, the large ones among them cut where those are few: Parquet at row groups, JSON Lines anywhere.

    CSV cannot be cut, as a line may begin inside a cell, nor can what is compressed.
    """
    if sum(map(_is_large, files)) >= _MANY_FILES:
        return tuple(files)
    return tuple(piece for file in files for piece in _pieces(file))


def _is_large(file: SourceFile) -> bool:
    return file.size_bytes >= 2 * PIECE_BYTES


def _pieces(file: SourceFile) -> Iterator[SourceFile]:
    if not _is_large(file) or file.format == "csv" or file.compression is not None:
        yield file
        return
    if file.format == "jsonl":
        edges = [*range(0, file.size_bytes - PIECE_BYTES // 2, PIECE_BYTES), file.size_bytes]
        yield from (replace(file, piece=edge) for edge in pairwise(edges))
        return
    try:
        with GuardedFile(file, random_access=True) as guarded:
            metadata = pq.read_metadata(pa.PythonFile(guarded, mode="r"))
    except (OSError, pa.ArrowException, UnavailableError):
        yield file  # whatever is wrong with it, its reader says so
        return
    begin = rows_before = rows = size_bytes = 0
    for group in range(metadata.num_row_groups):
        found = metadata.row_group(group)
        rows += found.num_rows
        size_bytes += sum(found.column(index).total_compressed_size for index in range(found.num_columns))
        if size_bytes >= PIECE_BYTES or group == metadata.num_row_groups - 1:
            yield replace(file, piece=(begin, group + 1), rows_before=rows_before)
            begin, rows_before, size_bytes = group + 1, rows, 0
    if not metadata.num_row_groups:
        yield file


def bundles(sized: Sequence[tuple[T, int]]) -> list[tuple[T, ...]]:
    """Neighbours together until they come to the size of a piece; ``sized`` are things and their bytes."""
    found: list[tuple[T, ...]] = []
    bundle: list[T] = []
    size_bytes = 0
    for thing, own_bytes in sized:
        if bundle and (size_bytes + own_bytes > PIECE_BYTES or len(bundle) >= _BUNDLED_FILES):
            found.append(tuple(bundle))
            bundle, size_bytes = [], 0
        bundle.append(thing)
        size_bytes += own_bytes
    return [*found, tuple(bundle)] if bundle else found
