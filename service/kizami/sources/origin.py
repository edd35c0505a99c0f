"""Origin: where a corpus comes from, opened to be read: its parts, all of one moment as far as that can be had."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kizami.database import Database
from kizami.identity import id_columns_of
from kizami.sources.files import SourceFile, list_files, require_marker
from kizami.sources.pieces import cut_files
from kizami.sources.postgresql.view import DatabaseView, RangePart

SourcePart = SourceFile | RangePart
"""What a worker reads at a time."""


class Origin(Protocol):
    """A source that is open."""

    @property
    def parts(self) -> Sequence[SourcePart]:
        """What there is to read."""

    @property
    def at_once(self) -> int | None:
        """How many parts may be read at once; None: as many as there are workers."""

    def check(self) -> None:
        """Raise ViewLostError where what was read can no longer be completed."""

    def reopened(self) -> Origin:
        """Begin again: close this one and open the source as it is now."""

    def close(self) -> None:
        """Let go of it. Parts that are not read yet cannot be read any more."""


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """Files, as they were listed. One that is changed later is noticed when it is read."""

    parts: tuple[SourceFile, ...]
    source: str
    at_once: None = None

    def check(self) -> None:
        """Nothing to look at."""

    def reopened(self) -> FileOrigin:
        """List them again."""
        return FileOrigin(cut_files(list_files(self.source)), self.source)

    def close(self) -> None:
        """Nothing to let go of."""


def open_origin(
    source: str | Database,
    *,
    id_column: str | Sequence[str],
    fields: Sequence[str],
    dated: bool = False,
    ready: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Origin:
    """Open a source, of whose business date ``source`` is already. ``dated``: whether it has such a date in it;
    ``ready``: a file without which it is not there yet.

    Raises NotThereYetError, UnavailableError, ConfigurationError.
    """
    if ready is not None:
        require_marker(ready)
    if isinstance(source, Database):
        return DatabaseView(source, id_columns_of(id_column), fields, dated=dated, sleep=sleep)
    return FileOrigin(cut_files(list_files(source)), source)
