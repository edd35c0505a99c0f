"""The snapshot that all tests of readers read: once in a folder, once on S3, the same to the byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kizami.manifest import Manifest

CORPUS: Final = "recipes"
COLUMNS: Final = ["doc_id", "field", "position", "pos3", "lemma"]
"""What the tests ask for: lists with nulls in them, and empty ones. In the file's order, which some readers keep."""
DOC_ID: Final = "🍣-0007"


@dataclass(frozen=True, slots=True)
class Published:
    """A published snapshot."""

    store: str
    manifest: Manifest
    rows: pa.Table = field(repr=False)
    """All rows, in order, as the local parts have them."""

    @property
    def path(self) -> str:
        return f"{self.store}/v1/{CORPUS}/snapshots/{self.manifest.snapshot}/"

    @property
    def glob(self) -> str:
        return f"{self.path}part-*.parquet"

    @property
    def pruned(self) -> pa.Table:
        """``COLUMNS`` of all rows."""
        return self.rows.select(COLUMNS)

    @property
    def document(self) -> pa.Table:
        """``COLUMNS`` of the rows of ``DOC_ID``."""
        return self.pruned.filter(pc.equal(self.rows["doc_id"], DOC_ID))


def read_rows(folder: str, manifest: Manifest) -> pa.Table:
    """All rows of a local snapshot, part after part."""
    return pa.concat_tables([pq.read_table(folder + part.name) for part in manifest.parts])
