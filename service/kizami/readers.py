"""Finding what was published: paths for pandas and everyone else. Needs neither Ray nor MeCab."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final

from kizami import layout
from kizami.errors import DataError
from kizami.manifest import Manifest, decode_manifest
from kizami.pointer import Pointer, decode_pointer
from kizami.stores import ObjectMissingError, ObjectStore, open_store
from kizami_schemas.versions import SchemaVersion

_NAMED: Final = 5
"""Dates and snapshots that an error names, the newest."""


def snapshot_path(store: str, corpus: str, date: dt.date | str | None = None, schema: int = 1) -> str:
    """The folder of a published snapshot, for ``pd.read_parquet``; ends with ``/``.

    ``store`` is the store's URL or folder, and what is returned starts with it. Without a ``date`` it is the newest
    snapshot, else the newest revision of that business date. The folder is complete and never changes; it is removed
    only by retention, at least 24 hours after its pointer, or by a take-down. ``schema`` is the major version of the
    schema; where several are published, a snapshot has one name in all.

    Raises DataError where nothing is published, UnavailableError when the store does not answer, ConfigurationError
    for a name or a date that cannot be one.
    """
    return _join(store, read_pointer(open_store(store), corpus, date, schema).path)


def snapshot_glob(store: str, corpus: str, date: dt.date | str | None = None, schema: int = 1) -> str:
    """The same as a pattern, for polars, DuckDB, Daft and Hugging Face datasets."""
    return _join(store, read_pointer(open_store(store), corpus, date, schema).glob)


def document_path(store: str, corpus: str, doc_id: str, date: dt.date | str | None = None, schema: int = 1) -> str:
    """The one part that holds a document's rows, if the snapshot has it: the manifest's bounds tell, no part is opened.

    Reading one part with a filter on ``doc_id`` takes a fraction of the time that filtering the folder takes.
    Raises as ``snapshot_path`` does.
    """
    opened = open_store(store)
    pointer = read_pointer(opened, corpus, date, schema)
    return _join(store, pointer.path + read_manifest(opened, pointer).part_of(doc_id).name)


def read_pointer(store: ObjectStore, corpus: str, date: dt.date | str | None = None, schema: int = 1) -> Pointer:
    """The pointer to the newest snapshot, or to that of a business date. Raises as ``snapshot_path`` does."""
    pointer = find_pointer(store, corpus, date, schema)
    if pointer is None:
        what = f"of {date} " if date else ""
        raise DataError(
            f"no snapshot {what}of corpus {corpus!r} is published in {store.url} under v{schema}; "
            f"`kizami run {corpus}` makes one{'' if schema == 1 else f' where its `schemas` has {schema} in it'}"
        )
    return pointer


def find_pointer(store: ObjectStore, corpus: str, date: dt.date | str | None = None, schema: int = 1) -> Pointer | None:
    """The same, but None where nothing is published."""
    key = layout.latest_key(corpus, schema) if date is None else layout.date_key(corpus, str(date), schema)
    try:
        return decode_pointer(store.get(key).body, key)
    except ObjectMissingError:
        return None


def read_manifest(store: ObjectStore, pointer: Pointer) -> Manifest:
    """The manifest of a published snapshot. Raises DataError where it is missing or damaged."""
    try:
        return decode_manifest(store.get(pointer.manifest).body, pointer.manifest)
    except ObjectMissingError:
        raise DataError(
            f"{pointer.manifest} is missing though its snapshot is published: restore it, or go back to an earlier one "
            f"with `kizami rollback {pointer.corpus} SNAPSHOT`"
        ) from None


def has_versions(store: ObjectStore, pointer: Pointer, schemas: Iterable[int]) -> bool:
    """Whether what a date's pointer names is published under that date in other major versions of the schema too."""
    return all(
        (other := find_pointer(store, pointer.corpus, pointer.date, schema)) and other.snapshot == pointer.snapshot
        for schema in schemas
        if schema != pointer.schema
    )


def manifests_beside(store: ObjectStore, latest: Pointer, versions: Sequence[SchemaVersion]) -> tuple[Manifest, ...]:
    """The manifests of the newest snapshot in other versions of the schema, as far as it is published in just these.

    Raises DataError where one is missing or damaged.
    """
    found = []
    for version in versions:
        pointer = find_pointer(store, latest.corpus, schema=version.major)
        if pointer and pointer.snapshot == latest.snapshot:
            found.append(read_manifest(store, pointer))
    names = {version.name for version in versions}
    return tuple(manifest for manifest in found if manifest.schema in names)


def find_manifest(store: ObjectStore, corpus: str, name: str, schema: int = 1) -> Manifest:
    """The manifest of the snapshot that a person calls ``latest``, by a business date, or by its id, published or not.

    Raises DataError naming what there is where nothing has that name, and as ``snapshot_path`` does.
    """
    if name == "latest":
        return read_manifest(store, read_pointer(store, corpus, schema=schema))
    try:
        if layout.is_date(name):
            pointer = find_pointer(store, corpus, name, schema)
            if pointer is not None:
                return read_manifest(store, pointer)
        else:
            key = layout.manifest_key(corpus, name, schema)
            return decode_manifest(store.get(key).body, key)
    except ObjectMissingError:
        pass
    raise DataError(
        f"no snapshot {name!r} of corpus {corpus!r} in {store.url}; name one that there is: "
        f"{_there_is(store, corpus, schema)}"
    )


def _there_is(store: ObjectStore, corpus: str, schema: int) -> str:
    found = []
    for what, prefix in (("dates", layout.dates_prefix), ("snapshots", layout.manifests_prefix)):
        root = prefix(corpus, schema)
        names = [info.key.removeprefix(root).removesuffix(".json") for info in store.list(root)]
        newest = ", ".join(names[-_NAMED:]) or "none"
        found.append(f"{what}: {newest}" + (f" and {len(names) - _NAMED} older" if len(names) > _NAMED else ""))
    return "; ".join(found)


def _join(store: str, key: str) -> str:
    return f"{store.rstrip('/')}/{key}"
