"""A renewal: what is to be analysed again though it did not change."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, slots=True)
class Renewal:
    """Which texts are analysed again whatever the predecessor knows of them."""

    everything: bool = False
    field: str | None = None
    """All texts of this field."""
    ids: tuple[str, ...] = ()
    """All texts of these documents; ascending, each once."""

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
