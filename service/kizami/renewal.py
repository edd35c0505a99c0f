"""A renewal: what is to be analysed again though it did not change."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kizami.errors import ConfigurationError, DataError


@dataclass(frozen=True, slots=True)
class Renewal:
    """Which texts are analysed again whatever the predecessor knows of them."""

    everything: bool = False
    field: str | None = None
    """All texts of this field."""
    ids: tuple[str, ...] = ()
    """All texts of these documents; ascending, each once."""

    def __str__(self) -> str:
        if self.ids:
            return f"asked to analyse again: {len(self.ids):,} document{'' if len(self.ids) == 1 else 's'}"
        return f"asked to analyse again: {'everything' if self.field is None else f'field {self.field}'}"

    @property
    def asks_nothing(self) -> bool:
        """Whether only what changed is analysed."""
        return not (self.everything or self.field is not None or self.ids)

    def within(self, lower: str, upper: str | None) -> Renewal:
        """What of it concerns the documents from ``lower`` up to, not including, ``upper``."""
        end = len(self.ids) if upper is None else bisect_left(self.ids, upper)
        return Renewal(self.everything, self.field, self.ids[bisect_left(self.ids, lower) : end])

    def rows(self, texts: pa.Table, fields: tuple[str, ...]) -> npt.NDArray[np.bool_]:
        """Of each row of ``texts`` (schema TEXTS), whether it is analysed again."""
        chosen = np.full(len(texts), self.everything)
        if self.field is not None:
            chosen |= texts["field"].to_numpy() == fields.index(self.field)
        if self.ids:
            ids = pa.array(self.ids, pa.string())
            chosen |= pc.is_in(texts["doc_id"], ids).to_numpy(zero_copy_only=False)
        return chosen


NOTHING: Final = Renewal()
EVERYTHING: Final = Renewal(everything=True)


def renewal_of(everything: bool, field: str | None, ids: Iterable[str]) -> Renewal:
    """What a person asks for. Raises DataError for an id that no document can have."""
    distinct = set(ids)
    for doc_id in sorted(distinct):
        try:
            doc_id.encode()
        except UnicodeEncodeError:
            raise DataError(f"id {doc_id!r} is not valid UTF-8: no document has it") from None
    return Renewal(everything, field, tuple(sorted(distinct)))


def read_ids(path: Path) -> list[str]:
    """The ids in a file of UTF-8, one a line; empty lines are none. Raises ConfigurationError."""
    try:
        ids = [line for line in path.read_text("utf-8-sig").split("\n") if line]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as a file of ids: {error}") from None
    if not ids:
        raise ConfigurationError(f"{path} has no ids in it; write one a line")
    return ids
