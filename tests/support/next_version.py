"""A version 2 of the schema made for the tests: one more column. And how a process comes to know it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kizami_schemas import v1
from kizami_schemas.versions import ENTRY_POINTS, SchemaVersion

READING: Final = pa.field("reading", pa.list_(pa.string()), metadata={"doc": "l_form; the surface where it is null"})


def derive(rows: pa.Table) -> pa.Table:
    """The rows with their readings."""
    columns = [rows[name].combine_chunks() for name in ("surface", "l_form")]
    surface, l_form = (column.cast(pa.list_(pa.string())) for column in columns)
    readings = pc.coalesce(l_form.flatten(), surface.flatten())
    return rows.append_column(READING, pa.ListArray.from_arrays(_offsets(surface), readings))


def _offsets(lists: pa.ListArray) -> pa.Array:
    return pc.subtract(lists.offsets, lists.offsets[0])


V2: Final = SchemaVersion(2, 0, pa.schema([*v1.SCHEMA, READING]), derive)
NEWER: Final = replace(V2, minor=1)


def search_path(folder: Path, point: str = "support.next_version:V2") -> list[str]:
    """Write version 2 to a folder as an installed package; what a process must have on its path to find it there."""
    info = folder / "kizami_next-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kizami-next\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n2 = {point}\n")
    return [str(folder), str(Path(__file__).parent.parent)]


def install(folder: Path, patch: pytest.MonkeyPatch, point: str = "support.next_version:V2") -> None:
    """Let this process find version 2, and those that it starts."""
    for each in search_path(folder, point):
        patch.syspath_prepend(each)
        patch.setenv("PYTHONPATH", each, prepend=os.pathsep)
