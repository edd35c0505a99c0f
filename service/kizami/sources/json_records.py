"""JSON records: objects parsed, and the configured fields found in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

import orjson

from kizami.sources.columns import NAMED_COLUMNS, FieldPath
from kizami.sources.records import NotText

_SAMPLED_RECORDS: Final = 100
"""Records whose nested keys are looked at, for a message that says which there are."""


def parse_json(line: bytes) -> Any:
    """Parse UTF-8; what is not valid Unicode has lone surrogates. Raises ValueError and RecursionError."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # The standard library takes what orjson refuses but names a document: lone surrogates, as escapes or as
        # bytes that are not UTF-8, and NaN.
        return json.loads(line.decode("utf-8", "surrogateescape"))


class JsonFields:
    """Finds the configured fields in records, and remembers which names it met."""

    def __init__(
        self, id_columns: Sequence[str], fields: Sequence[str], partitions: Mapping[str, str | None] | None = None
    ) -> None:
        self._partitions = partitions or {}
        self.seen: set[str] = set()
        self._paths = [FieldPath.of(field) for field in fields]
        self._configured = {*id_columns, *fields}
        self._sampled = 0

    def completed(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record, with the partitions of its file as keys that it lacks."""
        return {**self._partitions, **record} if self._partitions else record

    def values(self, record: Mapping[str, Any]) -> list[object]:
        """Return one value a field, as Records takes them."""
        if not self.seen.issuperset(record):
            self._remember(record.keys())
        if self._sampled < _SAMPLED_RECORDS:
            self._sampled += 1
            self._sample(record)
        return [self._value(record, path) for path in self._paths]

    def _value(self, record: Mapping[str, Any], path: FieldPath) -> object:
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

    def _sample(self, record: Mapping[str, Any]) -> None:
        for name, value in record.items():
            for item in value[:1] if isinstance(value, list) else (value,):
                if isinstance(item, dict):
                    self._remember({f"{name}.{key}" for key in list(item)[:NAMED_COLUMNS]})

    def has_inside(self, head: str) -> bool:
        """Whether keys were met inside a column."""
        return any(name.startswith(f"{head}.") for name in self.seen)
