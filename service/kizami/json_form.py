"""Frozen dataclasses as JSON and back: strict about what must be there, tolerant of what a newer version adds."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from kizami.errors import DataError

Record = TypeVar("Record")


def encode(record: Any) -> bytes:
    """The UTF-8 JSON of a dataclass, its fields in order; the same record gives the same bytes."""
    return (json.dumps(dataclasses.asdict(record), ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def decode(form: type[Record], body: bytes, where: str) -> Record:
    """The dataclass ``form`` from its JSON. Raises DataError naming ``where`` it stands and the field at fault."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where} is no JSON ({error}): restore the object from a backup or an earlier version"
        ) from None
    made: Record = _decoded(form, value, where, "")
    return made


def _decoded(form: Any, value: Any, where: str, path: str) -> Any:  # noqa: PLR0911  # one return a kind of field
    origin, arguments = get_origin(form), get_args(form)
    if origin in {types.UnionType, Union}:
        return None if value is None else _decoded(arguments[0], value, where, path)  # X | None, in this order
    if origin is tuple and isinstance(value, list):
        return tuple(_decoded(arguments[0], item, where, f"{path}[{index}]") for index, item in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {key: _decoded(arguments[1], item, where, f"{path}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(form) and isinstance(value, dict):
        return _decoded_record(form, value, where, path)
    if isinstance(form, type) and issubclass(form, StrEnum) and isinstance(value, str) and value in set(form):
        return form(value)
    if form is float and type(value) is int:
        return float(value)
    if type(value) is not form:  # not isinstance: True is no number here
        raise _fault(where, path, f"is {type(value).__name__}, not {getattr(form, '__name__', form)}")
    return value


def _decoded_record(form: Any, value: dict[str, Any], where: str, path: str) -> Any:
    hints = get_type_hints(form)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(form):
        inner = f"{path}.{field.name}" if path else field.name
        if field.name in value:
            given[field.name] = _decoded(hints[field.name], value[field.name], where, inner)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _fault(where, inner, "is missing")
    try:
        return form(**given)
    except ValueError as error:
        raise _fault(where, path, f"makes no sense ({error})") from None


def _fault(where: str, path: str, what: str) -> DataError:
    subject = f"{path!r} of {where}" if path else where
    return DataError(f"{subject} {what}: restore the object from a backup or an earlier version")
