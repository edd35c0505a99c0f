"""The versions of the schema that this Kizami can publish, each as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from kizami_schemas import v1


def _unchanged(rows: pa.Table) -> pa.Table:
    return rows


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A major version: its columns, and how its rows come of the analysed ones."""

    major: int
    minor: int
    """Counts the nullable columns added since ``major``.0 was published."""
    schema: pa.Schema
    derive: Callable[[pa.Table], pa.Table] = _unchanged
    """Analysed rows in, the same rows in the columns of ``schema`` out, in order.

    Analysed rows have the columns of schema v1, where strings of tokens may be Arrow dictionaries; so may those that it
    returns. Token columns that keep their name keep one element a token. The same rows must give the same result,
    whatever tables they come in. A function of a module, as workers have to import it.
    """

    @property
    def name(self) -> str:
        """``major.minor``, as manifests and parts have it."""
        return f"{self.major}.{self.minor}"

    @property
    def keeps_analysis(self) -> bool:
        """Whether all columns of the analysis are in it, so that its parts can be taken up by a later run."""
        return all(
            field.name in self.schema.names and self.schema.field(field.name).equals(field) for field in v1.SCHEMA
        )


V1: Final = SchemaVersion(v1.MAJOR, v1.MINOR, v1.SCHEMA)
VERSIONS: Final[dict[int, SchemaVersion]] = {V1.major: V1}
"""By major version. The frozen description of each is in ``frozen/``."""
