"""The versions of the schema that can be published, each as a value.

Kizami brings the first. Another one, to be tried out or tested before Kizami brings it itself, is an entry point of an
installed package, in the group ``kizami.schemas``: its name is the major version, its object a :class:`SchemaVersion`.
Nothing is registered at run time: what a process registers, the workers of a cluster would not know; a package that is
installed they have, and the command line too, without a line of configuration that names code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final

import pyarrow as pa

from kizami_schemas import v1

ENTRY_POINTS: Final = "kizami.schemas"


def _unchanged(rows: pa.Table) -> pa.Table:
    return rows


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A major version: its columns, and how its rows come of those of version 1."""

    major: int
    minor: int
    """Counts the nullable columns added since ``major``.0 was published. Grows, too, when ``derive`` comes to make
    other rows: parts of an earlier minor version are not copied into a snapshot of this one."""
    schema: pa.Schema
    derive: Callable[[pa.Table], pa.Table] = _unchanged
    """Rows of schema v1 in, the same rows in the columns of ``schema`` out, in order.

    In what comes in, strings of tokens are Arrow dictionaries; in what goes out they may be. The same rows must give
    the same result, whatever tables they come in. A function of a module, as workers have to import it.
    """

    @property
    def name(self) -> str:
        """``major.minor``, as manifests and parts have it."""
        return f"{self.major}.{self.minor}"


V1: Final = SchemaVersion(v1.MAJOR, v1.MINOR, v1.SCHEMA)
"""The version that runs make; all others are derived from its parts."""
VERSIONS: Final[dict[int, SchemaVersion]] = {V1.major: V1}
"""What Kizami brings, by major version. The frozen description of each is in ``frozen/``."""


def find_version(major: int) -> SchemaVersion | None:
    """The version of this number, Kizami's own or an installed package's; None where nobody brings it.

    Raises ValueError where a package brings something else under its name.
    """
    if major in VERSIONS:
        return VERSIONS[major]
    for point in entry_points(group=ENTRY_POINTS, name=str(major)):
        found = point.load()
        if not isinstance(found, SchemaVersion) or found.major != major:
            raise ValueError(f"the entry point {point.value} is no schema version {major}")
        return found
    return None


def known_versions() -> tuple[int, ...]:
    """The numbers of all versions there are, ascending."""
    others = {int(point.name) for point in entry_points(group=ENTRY_POINTS) if point.name.isdecimal()}
    return tuple(sorted({*VERSIONS, *others}))
