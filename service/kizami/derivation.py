"""Derivation: what a finished part of version 1 holds, as a part of another version of the schema, in staging."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from kizami import layout
from kizami.errors import ConfigurationError, DataError
from kizami.partfile import PartReport, derive_part, file_sha256
from kizami.stores.base import ConditionFailedError, ObjectMissingError, ObjectStore
from kizami.workspace import workspace
from kizami_schemas.versions import V1, SchemaVersion, find_version, known_versions


@dataclass(frozen=True, slots=True)
class DerivedPart:
    """A part in another version, in staging or in the predecessor's folder."""

    schema: int
    """Major version."""
    key: str
    report: PartReport
    copied_from: str | None = None
    """Key of the predecessor's part that it is; None: it is in staging."""


def versions_of(schemas: Iterable[int]) -> tuple[SchemaVersion, ...]:
    """The versions of these numbers but for the first. Raises ConfigurationError for one that nobody brings."""
    found = []
    for major in schemas:
        try:
            version = find_version(major)
        except ValueError as error:
            raise ConfigurationError(f"schema version {major} cannot be used: {error}") from None
        if version is None:
            known = ", ".join(map(str, known_versions()))
            raise ConfigurationError(f"there is no schema version {major}; known here: {known}")
        found.append(version)
    return tuple(version for version in found if version.major != V1.major)


def derive(
    store: ObjectStore, corpus: str, version: SchemaVersion, analysed: Path, report: PartReport, *, run: str
) -> DerivedPart:
    """Derive a part from ``analysed``, whose ``report`` is given, and stage it, unless it is staged already.

    Its key follows from the bytes of ``analysed``: of a part that is analysed again nothing earlier is taken up. Raises
    UnavailableError; DataError where the version makes other rows than it promises.
    """
    key = derived_key(report.sha256, version)
    staged = layout.staging_key(corpus, key)
    with workspace() as folder:
        path = folder / "part.parquet"
        while not _is_staged(store, staged, path):
            derive_part(analysed, path, version, run=run)
            try:
                store.upload(staged, path)
            except ConditionFailedError:
                continue  # another worker was quicker, or our own answer was lost: what counts is what stands there
            break
        rows = pq.read_metadata(path).num_rows
        if rows != report.rows:
            raise DataError(f"{staged} holds {rows} rows where {report.rows} belong: delete it and start the run again")
        own = replace(report, size_bytes=path.stat().st_size, sha256=file_sha256(path))
    return DerivedPart(version.major, key, own)


def derived_key(sha256: str, version: SchemaVersion) -> str:
    """The name under which the part is staged that ``version`` makes of the part with this digest: 32 hex digits."""
    return hashlib.sha256(f"{version.name} of {sha256}".encode()).hexdigest()[:32]


def _is_staged(store: ObjectStore, staged: str, path: Path) -> bool:
    try:
        store.download(staged, path)
    except ObjectMissingError:
        return False
    return True
