"""JSON Lines: one object a line."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Final

from kizami.errors import DataError
from kizami.sources.blocks import Block, BlockBuilder
from kizami.sources.files import SourceFile
from kizami.sources.json_records import JsonFields, parse_json
from kizami.sources.lines import LongLine, read_piece
from kizami.sources.partitions import partition_values
from kizami.sources.records import Records
from kizami.sources.streams import open_stream
from kizami.texts import Reason

_LINE_FACTOR: Final = 8
"""A line may be this much longer than a document's limit of text: escapes, and columns that are not read."""


def read_jsonl(file: SourceFile, builder: BlockBuilder, records: Records) -> Iterator[Block]:
    """Yield the file's blocks; none for a file without records.

    A key that is missing is null, or the value of a partition (``key=value`` in the path). Blank lines are skipped but
    counted. A line that is not a JSON object, or is too long, becomes one row and reading goes on; NaN and infinities,
    which Python writes, are read as numbers. Of a piece, lines are counted from its beginning. Raises DataError for a
    last line that has no end and cannot be parsed: the file is truncated.
    """
    partitions = partition_values(file.url, [*records.id_columns, *records.fields])
    fields = JsonFields(records.id_columns, records.fields, partitions)
    limit_bytes = _LINE_FACTOR * records.limit_bytes
    number = 0
    begin, end = file.piece or (0, sys.maxsize)
    with open_stream(file, max(0, begin - 1)) as read:
        for number, line in enumerate(read_piece(file, read, (begin, end), limit_bytes=limit_bytes), 1):
            if isinstance(line, LongLine):
                message = f"the line is longer than {limit_bytes:,} bytes; its id was not read"
                builder.add_unparsable(Reason.TOO_LARGE, message, line.sha256, number)
            else:
                self_contained = _add(line, number, builder, records, fields)
                if not self_contained and not line.endswith(b"\n"):
                    after = f" after byte {begin:,}" if begin else ""
                    raise DataError(
                        f"source file {file.url} is truncated: line {number}{after}, its last, ends in the middle of a"
                        " record; write it again"
                    )
            if builder.full:
                yield builder.take(frozenset(fields.seen))
    if file.piece is not None:
        yield builder.take(frozenset(fields.seen), lines=number)
    elif not builder.empty:
        yield builder.take(frozenset(fields.seen))


def _add(line: bytes, number: int, builder: BlockBuilder, records: Records, fields: JsonFields) -> bool:
    """Add the rows of one line, and return whether it is JSON (or blank) at all. Messages do not quote it."""
    try:
        record = parse_json(line)
    except (ValueError, RecursionError) as error:
        if line.isspace():
            return True
        at = f": {error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        _add_unparsable(line, number, builder, f"not valid JSON{at}")
        return False
    if not isinstance(record, dict):
        _add_unparsable(line, number, builder, "valid JSON, but not an object")
        return True
    record = fields.completed(record)
    id_values = [record.get(name) for name in records.id_columns]
    if float in map(type, id_values):
        # orjson reads an integer of more than 64 bits as a float; the standard library does not.
        record = fields.completed(json.loads(line.decode("utf-8", "surrogateescape")))
        id_values = [record.get(name) for name in records.id_columns]
    builder.add(records.document(id_values, fields.values(record)), number)
    return True


def _add_unparsable(line: bytes, number: int, builder: BlockBuilder, message: str) -> None:
    raw_sha256 = hashlib.sha256(line.removesuffix(b"\n")).digest()
    builder.add_unparsable(Reason.UNPARSABLE, message, raw_sha256, number)
