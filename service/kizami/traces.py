"""Traces: where in a store the id of a document still stands. What is searched is every object, whatever it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kizami import layout
from kizami.stores import ObjectMissingError, ObjectStore
from kizami.verification import Fault
from kizami.workspace import workspace

_OBJECTS_AT_ONCE: Final = 4
_QUOTES: Final = frozenset("'\"")
_NOT_OF_DOCUMENTS: Final = frozenset(
    {"schema", "corpus", "date", "name", "fields", "normalisation", "versions", "verb", "state", "stage", "host"}
)
"""Members of Kizami's JSON whose values are never an id: a document may be called ``2026-11-23`` or ``title``."""


def ids_in_part(path: Path, ids: pa.StringArray) -> frozenset[str]:
    """Which of some ids stand in the column ``doc_id`` of a Parquet file; none where it has no such column."""
    found: set[str] = set()
    for doc_ids in doc_ids_of(path):
        found.update(doc_ids.filter(pc.is_in(doc_ids, ids)).to_pylist())
    return frozenset(found)


def doc_ids_of(path: Path) -> Iterator[pa.StringArray]:
    """The distinct ids of each row group of a Parquet file; none where it has no column ``doc_id``."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups if "doc_id" in file.schema_arrow.names else 0):
            yield file.read_row_group(number, columns=["doc_id"], use_threads=False)["doc_id"].unique()


def ids_in_json(body: bytes, ids: Sequence[str]) -> frozenset[str]:
    """Which of some ids stand in an object that is no Parquet: in JSON as a string, or quoted within one."""
    try:
        strings = set(_strings(json.loads(body)))
    except (ValueError, RecursionError):
        # It is anybody's guess: rather one too many.
        return frozenset(each for each in ids if each.encode() in body or json.dumps(each)[1:-1].encode() in body)
    # Few strings quote anything, and of the ids there may be many.
    quoting = [text for text in strings if not _QUOTES.isdisjoint(text)]
    return frozenset(each for each in ids if each in strings or any(_quotes(text, each) for text in quoting))


def redacted(body: bytes, ids: Sequence[str]) -> bytes:
    """A JSON object of the ledger with the ids taken out of its messages."""

    def change(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: each if key in _NOT_OF_DOCUMENTS else change(each) for key, each in value.items()}
        if isinstance(value, list):
            return list(map(change, value))
        return _redacted_text(value, ids) if isinstance(value, str) else value

    return (json.dumps(change(json.loads(body)), ensure_ascii=False, indent=1) + "\n").encode()


def traces(
    store: ObjectStore,
    corpus: str,
    ids: Sequence[str],
    *,
    on_object: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[int, list[Fault]]:
    """Search every object of a corpus, of all major versions: how many there are, and those that name one of the ids.

    Reads every byte, with a few objects on the disk at a time. ``on_object`` is told how many of how many are done.
    What cannot be searched counts as a fault, too.
    """
    keys = [info.key for prefix in layout.corpus_prefixes(corpus) for info in store.list(prefix)]
    wanted = pa.array(ids, pa.string())
    faults: list[Fault] = []
    with workspace() as folder, ThreadPoolExecutor(_OBJECTS_AT_ONCE) as pool:

        def look(numbered: tuple[int, str]) -> Fault | None:
            number, key = numbered
            path = folder / f"{number}"
            try:
                store.download(key, path)
                found = ids_in_part(path, wanted) if key.endswith(".parquet") else ids_in_json(path.read_bytes(), ids)
            except ObjectMissingError:  # gone since it was listed
                return None
            except (pa.ArrowException, OSError) as error:
                return Fault(key, f"cannot be searched: {' '.join(str(error).split())}")
            finally:
                path.unlink(missing_ok=True)
            return Fault(key, f"names {len(found):,} of them") if found else None

        try:
            for done, fault in enumerate(pool.map(look, enumerate(keys)), 1):
                faults += [fault] if fault else []
                on_object(done, len(keys))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return len(keys), faults


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key not in _NOT_OF_DOCUMENTS:
                yield from _strings(each)


def _forms(doc_id: str) -> tuple[str, ...]:
    """An id as messages quote it."""
    return (repr(doc_id), f"'{doc_id}'", json.dumps(doc_id, ensure_ascii=False))


def _quotes(text: str, doc_id: str) -> bool:
    return any(form in text for form in _forms(doc_id))


def _redacted_text(text: str, ids: Sequence[str]) -> str:
    for each in ids:
        if text == each:
            return "(forgotten)"
        for form in _forms(each):
            text = text.replace(form, "(forgotten)")
    return text
