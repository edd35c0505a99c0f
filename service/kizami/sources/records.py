"""Records: what one record of any format says, as a document with its texts or the fault that holds it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kizami.identity import joined
from kizami.texts import Reason

ID_LIMIT_BYTES: Final = 1024
"""An id stands in every row of its document, in the bounds of parts and in the driver's memory."""
TEXTS_LIMIT: Final = 1_000_000
"""Texts a document may have. The limit in bytes does not bound them: an empty text has none."""


@dataclass(frozen=True, slots=True)
class NotText:
    """Stands for a value that cannot be a text, where its own type would pass for one."""

    kind: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a document is held back."""

    reason: Reason
    message: str


Text = tuple[int, int, bytes]
"""Index into the configured fields, position, UTF-8 (without meaning in a document with a fault).

A plain tuple: a corpus has many millions, and a named one takes several times as long to make.
"""


class Document(NamedTuple):
    """One document. A fault holds for all of its texts."""

    doc_id: bytes | None
    """UTF-8; None where the fault leaves no id."""
    texts: Sequence[Text]
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class Records:
    """Turns records into documents: ids, fields and limits of one corpus."""

    id_columns: Sequence[str]
    fields: Sequence[str]
    limit_bytes: int
    """UTF-8 bytes of text a document may have."""

    def document(self, id_values: Sequence[object], values: Sequence[object]) -> Document:
        """Return the document of one record.

        ``id_values`` has one value a column of the id; ``values`` has one a field: None, a text, or a list of texts and
        Nones; a text is a ``str`` (which may hold lone surrogates) or ``bytes`` of valid UTF-8. Anything else is a
        fault. The first fault counts: the id's, then the texts' in field order, then the size.
        """
        return self._plain(id_values, values) or self._judged(id_values, values)

    def _plain(self, id_values: Sequence[object], values: Sequence[object]) -> Document | None:
        """The document of a record of strings alone, as most are, without a fault; None where there is more to it."""
        texts: list[Text] = []
        size_bytes = 0
        doc_id = id_values[0]
        if type(doc_id) is not str or len(id_values) > 1:
            return None
        try:
            for field, value in enumerate(values):
                if type(value) is str:
                    utf8 = value.encode()
                    size_bytes += len(utf8)
                    texts.append((field, 0, utf8))
                elif value is not None:
                    return None
            utf8 = doc_id.encode()
        except UnicodeEncodeError:
            return None
        is_sound = 0 < len(utf8) <= ID_LIMIT_BYTES and size_bytes <= self.limit_bytes
        return Document(utf8, texts, None) if is_sound else None

    def _judged(self, id_values: Sequence[object], values: Sequence[object]) -> Document:
        doc_id, fault = self._doc_id(id_values)
        texts: list[Text] = []
        size_bytes = 0
        lists = [len(value) for value in values if type(value) is list]
        if lists and sum(lists) > TEXTS_LIMIT:
            return Document(doc_id, (), fault or Fault(Reason.TOO_LARGE, f"it has more than {TEXTS_LIMIT:,} texts"))
        for field, value in enumerate(values):
            if value is None:
                continue
            for position, element in enumerate(value if type(value) is list else (value,)):
                if element is None:
                    continue
                utf8 = b""
                if isinstance(element, bytes):
                    utf8 = element
                elif isinstance(element, str):
                    try:
                        utf8 = element.encode()
                    except UnicodeEncodeError:
                        fault = fault or self._fault(
                            Reason.INVALID_UNICODE, value, field, position, "is not valid Unicode"
                        )
                else:
                    fault = fault or self._fault(
                        Reason.NOT_TEXT, value, field, position, f"is {_kind(element)}, not a text"
                    )
                size_bytes += len(utf8)
                texts.append((field, position, utf8))
        if size_bytes > self.limit_bytes and not fault:
            fault = Fault(
                Reason.TOO_LARGE,
                f"its texts have {size_bytes:,} bytes, over the limit of {self.limit_bytes:,} a document"
                f" (largest field: {self._largest_field(texts)})",
            )
        return Document(doc_id, texts, fault)

    def _doc_id(self, id_values: Sequence[object]) -> tuple[bytes | None, Fault | None]:
        doc_id, fault = self._id_part(self.id_columns[0], id_values[0])
        if len(id_values) > 1 and fault is None:
            parts = [doc_id]
            for column, value in zip(self.id_columns[1:], id_values[1:], strict=True):
                part, fault = self._id_part(column, value)
                if fault is not None:
                    return None, fault
                parts.append(part)
            doc_id = joined([part.decode() for part in parts if part is not None]).encode()
        elif len(id_values) > 1:
            return None, fault
        if doc_id is not None and fault is None and len(doc_id) > ID_LIMIT_BYTES:
            return None, Fault(Reason.BAD_ID, f"id {self._id_name} is longer than {ID_LIMIT_BYTES:,} bytes")
        return doc_id, fault

    @property
    def _id_name(self) -> str:
        return ", ".join(self.id_columns)

    def _id_part(self, column: str, value: object) -> tuple[bytes | None, Fault | None]:
        if isinstance(value, bytes):
            part = value
        elif isinstance(value, str):
            try:
                part = value.encode()
            except UnicodeEncodeError:
                fault = Fault(Reason.BAD_ID, f"id {column} is not valid Unicode; it stands here escaped")
                # One escape for each of its bytes or code points: the longest form of an id that is not too long.
                return value[:ID_LIMIT_BYTES].encode("utf-8", "backslashreplace"), fault
        elif value is None:
            return None, Fault(Reason.NULL_ID, f"id {column} is null or missing")
        elif type(value) is int:
            part = b"%d" % value
        else:
            return None, Fault(Reason.BAD_ID, f"id {column} is {_kind(value)}, not a string or an integer")
        if not part:
            return None, Fault(Reason.NULL_ID, f"id {column} is empty")
        return part, None

    def _fault(self, reason: Reason, value: object, field: int, position: int, what: str) -> Fault:
        at = f" at position {position}" if type(value) is list else ""
        return Fault(reason, f"field {self.fields[field]}{at} {what}")

    def _largest_field(self, texts: Sequence[Text]) -> str:
        sizes = [0] * len(self.fields)
        for field, _, utf8 in texts:
            sizes[field] += len(utf8)
        return self.fields[sizes.index(max(sizes))]


def _kind(value: object) -> str:
    if isinstance(value, NotText):
        return value.kind
    kinds = {bool: "a boolean", int: "a number", float: "a number", dict: "an object", list: "a list", str: "a string"}
    return kinds.get(type(value), f"a {type(value).__name__}")
