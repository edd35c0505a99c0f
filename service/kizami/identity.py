"""Identity: the one string form of a document's id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_SEPARATOR: Final = "/"
_ESCAPES: Final = (("%", "%25"), (_SEPARATOR, "%2F"))
"""In this order: the second brings no % that was not there."""
_STRAY: Final = re.compile("%(?!25|2F)")


def id_columns_of(id_column: str | Sequence[str]) -> tuple[str, ...]:
    """The columns of an id, as the configuration has it: one, or several."""
    return (id_column,) if isinstance(id_column, str) else tuple(id_column)


def document_id(*values: str | int) -> str:
    """The ``doc_id`` of the document with this id: the values of the corpus's id columns, in the configured order.

    A string stands as it is, an integer in decimal (``-7``, ``0``, ``42``). Several are joined by ``/``, and in each of
    them ``%`` is written ``%25`` and ``/`` ``%2F``: no two ids have one form, and it can be taken apart again.
    """
    strings = [value if isinstance(value, str) else str(int(value)) for value in values]
    return strings[0] if len(strings) == 1 else joined(strings)


def joined(values: Sequence[str]) -> str:
    """The form of an id of several columns, each a string."""
    for character, escape in _ESCAPES:
        values = [value.replace(character, escape) for value in values]
    return _SEPARATOR.join(values)


def has_form(doc_id: str, columns: int) -> bool:
    """Whether a document with an id of so many columns can have this ``doc_id``."""
    if columns == 1:
        return True
    parts = doc_id.split(_SEPARATOR)
    return len(parts) == columns and all(parts) and _STRAY.search(doc_id) is None


def joined_columns(columns: Sequence[pa.StringArray]) -> pa.StringArray:
    """The same for many ids at once; null where any of the values is."""
    for character, escape in _ESCAPES:
        columns = [pc.replace_substring(column, character, escape) for column in columns]
    return pc.binary_join_element_wise(*columns, pa.scalar(_SEPARATOR, pa.string()))
