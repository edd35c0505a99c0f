"""Verification: a whole snapshot passes, and whatever is done to it is found and named."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kizami import json_form, layout
from kizami.errors import DataError
from kizami.manifest import Manifest
from kizami.stores import ObjectStore, open_store
from kizami.verification import Fault, verify
from support.published import CORPUS, Published
from support.shelf import go_back, publish
from support.snapshot_factory import Recipe, publish_snapshot, recipes

LATEST = layout.latest_key(CORPUS)
DATE = layout.date_key(CORPUS, "2026-11-23")


def test_a_published_snapshot_is_as_published(snapshot: Published) -> None:
    """In a folder and on S3; the counts are the manifest's."""
    seen: list[tuple[int, int]] = []
    found = verify(open_store(snapshot.store), CORPUS, on_part=lambda *counts: seen.append(counts))
    assert found.faults == ()
    parts = snapshot.manifest.parts
    assert (found.snapshot, found.date) == (snapshot.manifest.snapshot, "2026-11-23")
    assert (found.parts, found.rows) == (len(parts), len(snapshot.rows))
    assert found.size_bytes == sum(part.size_bytes for part in parts)
    assert seen == [(done, len(parts)) for done in range(1, len(parts) + 1)]


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ObjectStore, Manifest]:
    """A store with a snapshot of its own, to be damaged."""
    url = str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("s3_url")
    return open_store(url), publish_snapshot(url, Recipe(recipes(40), part_bytes=600))


def part(made: Manifest, number: int) -> str:
    """Key of a part."""
    return layout.part_key(CORPUS, made.snapshot, number)


def test_every_bad_object_is_named(damaged: tuple[ObjectStore, Manifest]) -> None:
    """A flipped byte, a truncated part, a missing one, one too many: all in one go, and what is wrong with each."""
    store, made = damaged
    assert len(made.parts) > 3
    body = bytearray(store.get(part(made, 0)).body)
    body[len(body) // 2] ^= 1
    store.put(part(made, 0), bytes(body))
    store.put(part(made, 1), store.get(part(made, 1)).body[:-1])
    store.delete([part(made, 2)])
    store.put(part(made, 99), b"PAR1")
    found = verify(store, CORPUS)
    assert [fault.key for fault in found.faults] == [part(made, number) for number in (0, 1, 2, 99)]
    size = made.parts[1].size_bytes
    flipped, truncated, missing, stray = (fault.what for fault in found.faults)
    assert flipped.startswith("has other bytes than were published: SHA-256 ")
    assert flipped.endswith(f", not {made.parts[0].sha256}")
    assert truncated == f"has {size - 1:,} bytes, not {size:,}"
    assert (missing, stray) == ("is missing", "is not in the manifest")


def rewritten(store: ObjectStore, made: Manifest, **changes: Any) -> None:
    """Let the manifest say something else."""
    store.put(layout.manifest_key(CORPUS, made.snapshot), json_form.encode(replace(made, **changes)))


def test_a_manifest_that_contradicts_its_parts_is_found(damaged: tuple[ObjectStore, Manifest]) -> None:
    """Rows of a part, the sum of rows, the parts' names and bounds."""
    store, made = damaged
    first, *others = made.parts
    wrong = replace(first, rows=first.rows + 1)
    rewritten(store, made, parts=(wrong, *others))
    key = layout.manifest_key(CORPUS, made.snapshot)
    assert verify(store, CORPUS).faults == (
        Fault(key, f"counts {made.counts.rows:,} rows, and {made.counts.rows + 1:,} in its parts"),
        Fault(part(made, 0), f"has {first.rows:,} rows, not {first.rows + 1:,}"),
    )
    second, third = (
        replace(each, lower=other.lower) for each, other in zip(others, reversed(others[:2]), strict=False)
    )
    rewritten(store, made, parts=(first, second, third, *others[2:]))
    assert verify(store, CORPUS).faults == (Fault(key, "has bounds that do not ascend from the empty one"),)
    rewritten(store, made, parts=(*others, first))
    assert {fault.what for fault in verify(store, CORPUS).faults} >= {"does not name its parts in order"}


def test_another_schema_is_found(damaged: tuple[ObjectStore, Manifest], tmp_path: Path) -> None:
    """Even where bytes, size and rows agree with the manifest."""
    store, made = damaged
    path = tmp_path / "part.parquet"
    rows = made.parts[0].rows
    pq.write_table(pa.table({"doc_id": ["a"] * rows}), path)
    published_as(store, made, path)
    (fault,) = verify(store, CORPUS).faults
    assert fault == Fault(part(made, 0), "has another schema than version 1.0: see `kizami schema`")
    path.write_bytes(b"no Parquet at all")
    published_as(store, made, path)
    (fault,) = verify(store, CORPUS).faults
    assert fault.what.startswith("is no Parquet file: ")


def published_as(store: ObjectStore, made: Manifest, path: Path) -> None:
    """Put another file in the first part's place, and its size and digest into the manifest."""
    body = path.read_bytes()
    store.put(part(made, 0), body)
    other = replace(made.parts[0], size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest())
    rewritten(store, made, parts=(other, *made.parts[1:]))


def changed(store: ObjectStore, key: str, **changes: Any) -> None:
    """Change fields of a JSON object."""
    store.put(key, json.dumps({**json.loads(store.get(key).body), **changes}).encode())


POINTERS: dict[str, tuple[Callable[[ObjectStore], Any], list[tuple[str, str]]]] = {
    "a field of latest": (
        lambda store: changed(store, LATEST, rows=7, glob="elsewhere"),
        [(LATEST, "has the glob 'elsewhere', where the manifest says"), (LATEST, "has the rows 7, where")],
    ),
    "a field of the date's": (
        lambda store: changed(store, DATE, fingerprint="0"),
        [(DATE, "has the fingerprint '0', where the manifest says")],
    ),
    "the date's is gone": (lambda store: store.delete([DATE]), [(DATE, "does not name ")]),
    "the date's is another": (lambda store: changed(store, DATE, snapshot="x"), [(DATE, "does not name ")]),
    "the date's is no JSON": (lambda store: store.put(DATE, b"{"), [(DATE, "cannot be read: ")]),
    "latest is no JSON": (lambda store: store.put(LATEST, b"{"), [(LATEST, "cannot be read: ")]),
}


@pytest.mark.parametrize("case", POINTERS)
def test_pointers_are_compared(case: str, tmp_path: Path) -> None:
    """Each field of both has to be the manifest's."""
    url = str(tmp_path / "store")
    publish_snapshot(url, Recipe(recipes(4)))
    store = open_store(url)
    damage, expected = POINTERS[case]
    damage(store)
    found = verify(store, CORPUS).faults
    assert [fault.key for fault in found] == [key for key, _ in expected]
    for fault, (_, what) in zip(found, expected, strict=True):
        assert fault.what.startswith(what)


@pytest.mark.parametrize(("damage", "what"), [(None, "is missing"), (b"{", "cannot be read: ")])
def test_a_manifest_that_is_not_there_is_a_fault(tmp_path: Path, damage: bytes | None, what: str) -> None:
    """Of a published snapshot nothing can be compared without it."""
    url = str(tmp_path / "store")
    made = publish_snapshot(url, Recipe(recipes(4)))
    store, key = open_store(url), layout.manifest_key(CORPUS, made.snapshot)
    store.delete([key])
    if damage:
        store.put(key, damage)
    for name in (None, made.snapshot):
        (fault,) = verify(store, CORPUS, name).faults
        assert fault.key == key
        assert fault.what.startswith(what)


def test_another_snapshot_can_be_named(tmp_path: Path) -> None:
    """One that no pointer names any more, too; one that there is not is an error that names those there are."""
    store = open_store(str(tmp_path / "store"))
    for number, date in enumerate(("2026-11-22", "2026-11-23"), 1):
        publish(store, f"s{number}", date)
    go_back(store, "s1")
    faults = verify(store, CORPUS, "s2").faults
    assert {fault.what.split(":")[0] for fault in faults} == {"is no Parquet file"}  # the shelf's parts are none
    assert len(faults) == 2
    with pytest.raises(DataError, match=r"no snapshot 's3' of recipes; there are: s1, s2"):
        verify(store, CORPUS, "s3")
    with pytest.raises(DataError, match="nothing to verify"):
        verify(store, "novels")


def test_memory_stays_small(tmp_path: Path) -> None:
    """A large part is never in memory."""
    store = open_store(str(tmp_path / "store"))
    made = publish_snapshot(str(tmp_path / "store"), Recipe(recipes(4)))
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(200 << 20)
    store.delete([part(made, 0)])
    store.upload(part(made, 0), big)
    rewritten(store, made, parts=(replace(made.parts[0], size_bytes=200 << 20), *made.parts[1:]))
    tracemalloc.start()
    try:
        (fault,) = verify(store, CORPUS).faults
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert fault.what.startswith("has other bytes")
