"""JSON Lines: one object a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence, Set
from typing import Any, Final

import orjson

from kizami.errors import DataError
from kizami.sources.blocks import Block, BlockBuilder
from kizami.sources.columns import NAMED_COLUMNS, FieldPath
from kizami.sources.files import SourceFile
from kizami.sources.lines import LongLine, read_lines
from kizami.sources.records import NotText, Records
from kizami.sources.streams import open_stream
from kizami.texts import Reason

_LINE_FACTOR: Final = 8
"""A line may be this much longer than a document's limit of text: escapes, and columns that are not read."""
_SAMPLED_RECORDS: Final = 100
"""Records whose nested keys are looked at, for a message that says which there are."""


def read_jsonl(file: SourceFile, builder: BlockBuilder, records: Records) -> Iterator[Block]:
    """Yield the file's blocks; none for a file without records.

    A key that is missing is null. Blank lines are skipped but counted. A line that is not a JSON object, or is too
    long, becomes one row and reading goes on; NaN and infinities, which Python writes, are read as numbers.
    Raises DataError for a last line that has no end and cannot be parsed: the file is truncated.
    """
    fields = _Fields(records.id_column, records.fields)
    limit_bytes = _LINE_FACTOR * records.limit_bytes
    with open_stream(file) as read:
        for number, line in enumerate(read_lines(file, read, limit_bytes=limit_bytes), 1):
            if isinstance(line, LongLine):
                message = f"the line is longer than {limit_bytes:,} bytes; its id was not read"
                builder.add_unparsable(Reason.TOO_LARGE, message, line.sha256, number)
            else:
                self_contained = _add(line, number, builder, records, fields)
                if not self_contained and not line.endswith(b"\n"):
                    raise DataError(
                        f"source file {file.url} is truncated: line {number}, its last, ends in the middle of a record;"
                        " write it again"
                    )
            if builder.full:
                yield builder.take(frozenset(fields.seen))
    if not builder.empty:
        yield builder.take(frozenset(fields.seen))


def _add(line: bytes, number: int, builder: BlockBuilder, records: Records, fields: _Fields) -> bool:
    """Add the rows of one line, and return whether it is JSON (or blank) at all. Messages do not quote it."""
    try:
        record = _parse(line)
    except (ValueError, RecursionError) as error:
        if line.isspace():
            return True
        at = f": {error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        _add_unparsable(line, number, builder, f"not valid JSON{at}")
        return False
    if not isinstance(record, dict):
        _add_unparsable(line, number, builder, "valid JSON, but not an object")
        return True
    id_value = record.get(records.id_column)
    if type(id_value) is float:
        # orjson reads an integer of more than 64 bits as a float; the standard library does not.
        id_value = json.loads(line.decode("utf-8", "surrogateescape"))[records.id_column]
    builder.add(records.document(id_value, fields.values(record)), number)
    return True


def _add_unparsable(line: bytes, number: int, builder: BlockBuilder, message: str) -> None:
    raw_sha256 = hashlib.sha256(line.removesuffix(b"\n")).digest()
    builder.add_unparsable(Reason.UNPARSABLE, message, raw_sha256, number)


def _parse(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # The standard library takes what orjson refuses but names a document: lone surrogates, as escapes or as
        # bytes that are not UTF-8, and NaN.
        return json.loads(line.decode("utf-8", "surrogateescape"))


class _Fields:
    """Finds the configured fields in records, and remembers which names it met."""

    def __init__(self, id_column: str, fields: Sequence[str]) -> None:
        self.seen: set[str] = set()
        self._paths = [FieldPath.of(field) for field in fields]
        self._configured = {id_column, *fields}
        self._sampled = 0

    def values(self, record: dict[str, Any]) -> list[object]:
        """Return one value a field, as Records takes them."""
        if not self.seen.issuperset(record):
            self._remember(record.keys())
        if self._sampled < _SAMPLED_RECORDS:
            self._sampled += 1
            self._sample(record)
        return [self._value(record, path) for path in self._paths]

    def _value(self, record: dict[str, Any], path: FieldPath) -> object:
        if path.key is None or path.name in record:
            return record.get(path.name)
        value = record.get(path.head)
        if isinstance(value, list):
            return [self._inside(item, path) for item in value]
        return self._inside(value, path)

    def _inside(self, value: object, path: FieldPath) -> object:
        if value is None:
            return None
        if not isinstance(value, dict):
            return NotText(f"a value without the key {path.key}")
        if path.key in value:
            self.seen.add(path.name)
        return value.get(path.key)

    def _remember(self, names: Set[str]) -> None:
        self.seen |= self._configured & names
        if len(self.seen) < NAMED_COLUMNS:
            self.seen.update(list(names)[:NAMED_COLUMNS])

    def _sample(self, record: dict[str, Any]) -> None:
        for name, value in record.items():
            for item in value[:1] if isinstance(value, list) else (value,):
                if isinstance(item, dict):
                    self._remember({f"{name}.{key}" for key in list(item)[:NAMED_COLUMNS]})
