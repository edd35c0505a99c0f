"""Frozen dataclasses as JSON and back: strict about what must be there, tolerant of what a newer version adds."""

from __future__ import annotations

import dataclasses
import json
import types
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
    except ValueError as error:
        raise DataError(
            f"{where} is no JSON ({error}): restore the object from a backup or an earlier version"
        ) from None
    made: Record = _decoded(form, value, where, "")
    return made


def _decoded(form: Any, value: Any, where: str, path: str) -> Any:
    if get_origin(form) in {types.UnionType, Union}:
        if value is None and type(None) in get_args(form):
            return None
        (form,) = (each for each in get_args(form) if each is not type(None))
    if dataclasses.is_dataclass(form) and isinstance(form, type):
        if not isinstance(value, dict):
            raise _fault(where, path, "is not an object")
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
    if form is float and type(value) is int:
        return float(value)
    if type(value) is not form:  # not isinstance: True is no number here
        raise _fault(where, path, f"is {type(value).__name__}, not {form.__name__}")
    return value


def _fault(where: str, path: str, what: str) -> DataError:
    subject = f"{path!r} of {where}" if path else where
    return DataError(f"{subject} {what}: restore the object from a backup or an earlier version")
