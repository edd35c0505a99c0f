"""Readers in a loop during a hundred publications and rollbacks: each time they have a whole snapshot at hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow.dataset as ds
import pytest
from pyarrow import fs

import kizami
from kizami.stores import open_store
from support.shelf import go_back
from support.snapshot_factory import Document, Recipe, publish_snapshot, recipes

COMMITS: Final = 100
_PAUSE_SECONDS: Final = 0.1
"""Between two readings, for the publisher's sake."""
COLUMNS: Final = ["doc_id", "field", "position", "text"]
Rows = list[tuple[str, str, int, str]]


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty store of each kind."""
    return str(tmp_path / "store") if request.param == "local" else str(request.getfixturevalue("s3_url"))


class Reader:
    """A reader in a thread of its own. ``seen`` are the snapshots it was shown, ``faults`` what was wrong with them."""

    def __init__(self, store: str, expected: dict[str, Rows]) -> None:
        self._store, self._expected = store, expected
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read_on)
        self.reads = 0
        self.seen: set[str] = set()
        self.faults: list[str] = []

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read during this context, and once after its end."""
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    def read(self) -> tuple[str, Rows]:
        """The newest snapshot: its name, and its rows in order."""
        raise NotImplementedError

    def _read_on(self) -> None:
        while True:
            last = self._over.is_set()
            try:
                name, rows = self.read()
            except Exception as error:  # whatever a reader can meet
                self.faults.append(f"{type(error).__name__}: {error}")
            else:
                self.seen.add(name)
                if rows != self._expected[name]:
                    self.faults.append(f"{len(rows)} rows that are not those of {name}")
            self.reads += 1
            if last:
                return
            self._over.wait(_PAUSE_SECONDS)


class PandasReader(Reader):
    """One line of pandas, as the README says."""

    def read(self) -> tuple[str, Rows]:
        path = kizami.snapshot_path(self._store, "recipes")
        frame = pd.read_parquet(path, columns=COLUMNS)
        return path.rstrip("/").rpartition("/")[2], list(frame.itertuples(index=False, name=None))


class PlainReader(Reader):
    """Who never heard of Kizami: latest.json and pyarrow."""

    def read(self) -> tuple[str, Rows]:
        filesystem, root = fs.FileSystem.from_uri(self._store)
        with filesystem.open_input_stream(f"{root}/v1/recipes/latest.json") as file:
            latest = json.load(file)
        table = ds.dataset(f"{root}/{latest['path']}", filesystem=filesystem, format="parquet").to_table(COLUMNS)
        assert table.num_rows == latest["rows"]
        return latest["snapshot"], list(zip(*table.to_pydict().values(), strict=True))


def test_readers_see_nothing_but_whole_snapshots(store: str) -> None:
    """Seventy publications of ever other texts, and thirty rollbacks between them."""
    expected: dict[str, Rows] = {}
    opened = open_store(store)
    done: list[str] = []

    def publish(number: int) -> None:
        documents = _documents(number)
        name = f"20261123T{number:06d}.000000Z-0123456789abcdef"
        expected[name] = _rows(documents)
        recipe = Recipe(documents, date=f"2026-11-{20 + number // 40}", snapshot=name, part_bytes=1024)
        assert len(publish_snapshot(store, recipe).parts) > 1
        done.append(name)

    publish(0)
    readers = [PandasReader(store, expected), PlainReader(store, expected)]
    with readers[0].reading(), readers[1].reading():
        for number in range(1, COMMITS):
            if number % 10 in {3, 6, 9}:
                go_back(opened, done[-1 - number % 10 // 3], run=f"rollback-{number}")
            else:
                publish(number)
    for reader in readers:
        assert reader.faults == []
        assert reader.reads > COMMITS // 10
        assert len(reader.seen) > COMMITS // 20


def _documents(number: int) -> list[Document]:
    return [(doc_id, f"{title} {number}", steps) for doc_id, title, steps in recipes(24 + number % 5)]


def _rows(documents: list[Document]) -> Rows:
    """In the order of a snapshot: by the bytes of the id, then field and position."""
    return [
        (doc_id, field, position, text)
        for doc_id, title, steps in sorted(documents, key=lambda document: document[0].encode())
        for field, texts in (("title", [title]), ("steps", steps))
        for position, text in enumerate(texts)
    ]
