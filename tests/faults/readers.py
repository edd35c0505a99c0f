"""Readers in a loop, who do what the README tells them to, and look closely at what they got."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final

import pyarrow as pa
import pyarrow.dataset as ds

import kizami
from kizami.errors import UnavailableError

COLUMNS: Final = ["doc_id", "field", "position", "lemma"]
_PAUSE_SECONDS: Final = 0.2


class Readers:
    """A thread that reads the newest snapshot again and again. A context manager; the last reading is its end."""

    def __init__(self, store: str, corpus: str, known: Callable[[], Sequence[pa.Table]]) -> None:
        """``known`` are the whole snapshots there can be, in ``COLUMNS``."""
        self._store, self._corpus, self._known = store, corpus, known
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="readers")
        self.reads = 0
        self.disturbed: list[str] = []
        """Readings that were no whole snapshot, or failed though the store answers."""
        self.store_away = 0
        """Readings that failed because nobody answered at the store's address."""

    def __enter__(self) -> Readers:
        self._tables = list(self._known())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Read once more, and end."""
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join()
            self._read()

    def _read_on(self) -> None:
        while not self._stop.wait(_PAUSE_SECONDS):
            self._read()

    def _read(self) -> None:
        self.reads += 1
        try:
            rows = ds.dataset(kizami.snapshot_path(self._store, self._corpus), format="parquet").to_table(COLUMNS)
        except (UnavailableError, OSError) as error:
            if isinstance(error, FileNotFoundError):
                self.disturbed.append(f"{type(error).__name__}: {error}")
            else:
                self.store_away += 1
        except Exception as error:  # whatever else a reader can meet
            self.disturbed.append(f"{type(error).__name__}: {error}")
        else:
            if not any(rows.equals(table) for table in self._tables):
                self.disturbed.append(f"{rows.num_rows} rows that are no snapshot's")
