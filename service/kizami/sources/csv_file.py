"""CSV: a header line, then one record a line; commas, double quotes, UTF-8."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kizami.errors import DataError
from kizami.sources.blocks import Block, BlockBuilder
from kizami.sources.columns import absent_columns, printable
from kizami.sources.files import SourceFile
from kizami.sources.lines import LongLine, read_lines
from kizami.sources.partitions import partition_values
from kizami.sources.records import Records
from kizami.sources.streams import open_stream
from kizami.texts import Reason

_RECORD_FACTOR: Final = 8
"""A record may be this much longer than a document's limit of text: quotes, and columns that are not read."""


def read_csv(file: SourceFile, builder: BlockBuilder, records: Records) -> Iterator[Block]:
    """Yield the file's blocks, at least one, which has no rows where the file has no records.

    Every value is a string, and an empty cell is null: CSV cannot tell it from an empty text. A field is a column of
    exactly this name; there are no lists. Cells may hold line ends; blank lines between records are skipped. A record
    with the wrong number of cells becomes one row, with the line it begins on, and reading goes on.

    Raises DataError for a file without a header or with a column name twice, for one that ends inside a record, and
    for a record that grows without end (a quote that is never closed: what follows could not be trusted);
    ConfigurationError when the header lacks the id or a field.
    """
    limit_bytes = _RECORD_FACTOR * records.limit_bytes
    # The limit is the process's: raised only, as another reader may rely on it.
    csv.field_size_limit(max(csv.field_size_limit(), limit_bytes))
    with open_stream(file) as read:
        source = _RecordLines(file, read_lines(file, read, limit_bytes=limit_bytes), limit_bytes)
        rows = _rows(file, source)
        header = next((cells for cells, _ in rows if cells), None)
        if header is None:
            raise DataError(f"source file {file.url} has no header line; write one, or remove the file")
        constant = partition_values(file.url, {*records.id_columns, *records.fields} - set(header))
        _check_header(file, header, records, constant)
        columns = frozenset({*header, *constant})
        # Behind its own cells, a record has those of the partitions.
        behind = list(constant.values())
        names = [*header, *constant]
        id_cells = [names.index(name) for name in records.id_columns]
        field_cells = [names.index(field) for field in records.fields]
        for cells, message in rows:
            if cells is not None and len(cells) == len(header):
                values = [*cells, *behind]
                document = records.document(
                    [values[cell] or None for cell in id_cells], [values[cell] or None for cell in field_cells]
                )
                builder.add(document, source.first_line)
            else:
                problem = message or f"{len(cells or ())} cells where the header has {len(header)}"
                if not source.ends_with_newline:
                    raise DataError(
                        f"source file {file.url} is truncated in the record of line {source.first_line}, its last;"
                        " write it again"
                    )
                builder.add_unparsable(Reason.UNPARSABLE, problem, source.sha256(), source.first_line)
            if builder.full:
                yield builder.take(columns)
        yield builder.take(columns)


class _RecordLines:
    """Feeds the csv module, and keeps the raw lines of the record it is in."""

    def __init__(self, file: SourceFile, lines: Iterator[bytes | LongLine], limit_bytes: int) -> None:
        self._file = file
        self._lines = lines
        self._limit_bytes = limit_bytes
        self._raw: list[bytes] = []
        self._size_bytes = 0
        self.first_line = 1
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        if isinstance(line, LongLine):
            raise self._endless()
        self._raw.append(line)
        self._size_bytes += len(line)
        if self._size_bytes > self._limit_bytes:
            raise self._endless()
        return line.decode("utf-8", "surrogateescape")

    def begin_record(self) -> None:
        self.first_line += len(self._raw)
        self._raw.clear()
        self._size_bytes = 0

    @property
    def ends_with_newline(self) -> bool:
        return not self._raw or self._raw[-1].endswith(b"\n")

    def sha256(self) -> bytes:
        return hashlib.sha256(b"".join(self._raw).removesuffix(b"\n")).digest()

    def _endless(self) -> DataError:
        return DataError(
            f"source file {self._file.url}: the record of line {self.first_line} is longer than"
            f" {self._limit_bytes:,} bytes; close its quote, or remove it"
        )


def _rows(file: SourceFile, source: _RecordLines) -> Iterator[tuple[list[str] | None, str | None]]:
    """Yield the cells of each record, or None and why they cannot be told apart."""
    reader = csv.reader(source, strict=True)
    while True:
        source.begin_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if source.ended:
                raise DataError(
                    f"source file {file.url} is truncated: the quote in the record of line {source.first_line} is never"
                    " closed; write it again"
                ) from None
            # The module's own words name delimiters and limits, never the data.
            yield None, f"not valid CSV: {error}"
        else:
            if cells:
                yield cells, None


def _check_header(file: SourceFile, header: Sequence[str], records: Records, partitions: Iterable[str]) -> None:
    # Spreadsheets leave nameless columns behind; those can be many.
    twice = [printable(name) for name, count in Counter(header).items() if name and count > 1]
    if twice:
        raise DataError(f"source file {file.url} has several columns of the same name: {', '.join(twice)}; rename them")
    absent_columns(
        {*header, *partitions}, source=f"source file {file.url}", id_column=records.id_columns, fields=records.fields
    )
