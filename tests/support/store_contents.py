"""What stands in a store, read back as any reader would: a snapshot with its manifest, the ledger, the lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from kizami import layout
from kizami.commit import Head, decode_head
from kizami.ledger import Ledger, RunEntry
from kizami.manifest import Manifest
from kizami.pointer import Pointer
from kizami.readers import read_manifest, read_pointer
from kizami.stores import open_store
from support.kitchen import TextRow


@dataclass(frozen=True, slots=True)
class Published:
    """A published snapshot."""

    store: str
    pointer: Pointer
    manifest: Manifest

    @property
    def path(self) -> str:
        """Its folder."""
        return f"{self.store}/{self.pointer.path}"

    def rows(self, columns: list[str] | None = None) -> pa.Table:
        """Its rows, part after part, each as it is on disk."""
        return pa.concat_tables(self.parts(columns))

    def parts(self, columns: list[str] | None = None) -> list[pa.Table]:
        """The rows of each part."""
        return [read_parquet(f"{self.path}{part.name}", columns) for part in self.manifest.parts]

    def texts(self) -> list[TextRow]:
        """doc_id, field, position and text of each row."""
        columns = self.rows(["doc_id", "field", "position", "text"]).to_pydict()
        return list(zip(*columns.values(), strict=True))

    def quarantine(self) -> list[dict[str, Any]]:
        """The rows of its quarantine file."""
        if self.manifest.quarantine is None:
            return []
        rows: list[dict[str, Any]] = read_parquet(f"{self.store}/{self.manifest.quarantine}").to_pylist()
        return rows


def published(store: str, corpus: str = "recipes", date: str | None = None, schema: int = 1) -> Published:
    """The newest snapshot, or that of a business date."""
    opened = open_store(store)
    pointer = read_pointer(opened, corpus, date, schema)
    return Published(store, pointer, read_manifest(opened, pointer))


def read_parquet(url: str, columns: list[str] | None = None) -> pa.Table:
    """One Parquet file, by the reader alone: no schema given."""
    if not url.startswith("s3://"):
        return pq.read_table(url, columns=columns)
    # From a URI: S3FileSystem() itself does not look at AWS_ENDPOINT_URL.
    file_system, path = fs.FileSystem.from_uri(url)
    return pq.read_table(path, columns=columns, filesystem=file_system)


def ledger(store: str, corpus: str = "recipes") -> list[RunEntry]:
    """The entries of all runs, the newest first."""
    return Ledger(open_store(store), corpus).history()


def head(store: str, corpus: str = "recipes") -> Head:
    """The lock as it stands."""
    key = layout.head_key(corpus)
    return decode_head(open_store(store).get(key).body, key)


def staged(store: str, corpus: str = "recipes") -> list[str]:
    """Keys of the finished parts that are in no snapshot yet."""
    return [info.key for info in open_store(store).list(layout.staging_prefix(corpus))]
