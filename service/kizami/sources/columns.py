"""Columns: the configured id and fields, found in what a source has."""

from __future__ import annotations

import difflib
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Final

from kizami.errors import ConfigurationError
from kizami.identity import id_columns_of

NAMED_COLUMNS: Final = 1_000
"""Column names kept for a message: JSON whose keys are data (a date, an id) has as many as it likes."""
_LISTED_COLUMNS: Final = 20


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A configured field. ``ingredients.name`` is the column of this name, or else key ``name`` in ``ingredients``.

    The first dot divides: ``a.b.c`` is the column ``a.b.c``, or else key ``b.c`` in ``a``.
    """

    name: str
    head: str
    key: str | None

    @classmethod
    def of(cls, name: str) -> FieldPath:
        """Read the configured name of a field."""
        head, dot, key = name.partition(".")
        return cls(name, head, key if dot else None)


def absent_columns(seen: Set[str], *, source: str, id_column: str | Sequence[str], fields: Sequence[str]) -> None:
    """Raise ConfigurationError if the id or a field is nowhere in ``seen``, naming it and what is there instead.

    ``seen`` is the union of ``Block.columns`` over the whole source; a source without any block has nothing to say.
    """
    absent = [name for name in dict.fromkeys([*id_columns_of(id_column), *fields]) if name not in seen]
    if not absent:
        return
    there = sorted(seen)
    parts = []
    for name in absent:
        near = difflib.get_close_matches(name, there, n=1)
        parts.append(f"{printable(name)} (did you mean {printable(near[0])}?)" if near else printable(name))
    listed = ", ".join(map(printable, there[:_LISTED_COLUMNS])) or "none at all"
    more = f" and {len(there) - _LISTED_COLUMNS} more" if len(there) > _LISTED_COLUMNS else ""
    raise ConfigurationError(
        f"{source} has no column {', '.join(parts)}; correct id or fields in the configuration;"
        f" its columns: {listed}{more}"
    )


def printable(name: str) -> str:
    """Return a name from the data as it can stand in a message: lone surrogates and line ends escaped, cut at 100."""
    escaped = name[:100].encode("utf-8", "backslashreplace").decode()
    return escaped if escaped.isprintable() else repr(escaped)[1:-1]
