"""Reading the source once, on the workers; what stays with the driver is an index of the documents."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.exceptions import RayError

from kizami.config import CorpusConfig
from kizami.input_digests import no_digests, to_hex
from kizami.ledger import FailedAttempt
from kizami.parts import WHOLE, Bounds, cut_bounds, follow_bounds
from kizami.sources import SourceFile, absent_columns
from kizami.suppression import NOBODY, Suppression
from kizami_jobs.retries import OnLoss, PutOff, retry
from kizami_jobs.tasks import BlockIndex, read_file

_WAIT_SECONDS: Final = 0.5
_FILES_AT_ONCE: Final = 256
"""Read tasks under way at the most; each costs the driver memory."""


class Corpus:
    """What was read: blocks of texts in Ray's object store, each document's size, and digests by the bounds given."""

    def __init__(self, bounds: Bounds = WHOLE) -> None:
        self._blocks: list[Any] = []
        self._indexes: list[pa.Table] = []
        self._documents: pa.Table | None = None
        self.texts = 0
        """Texts that must end up in a row or in quarantine, and those forgotten."""
        self.forgotten = 0
        """Texts of documents on the suppression list: they were left out."""
        self._digests = no_digests(len(bounds))
        self.columns: set[str] = set()
        """Names of columns seen in the source."""
        self.named: set[str] = set()
        """Which of the ids asked for are in the source."""

    def add(self, block: Any, index: BlockIndex) -> None:
        """Take in a block, by reference, and its index."""
        self._blocks.append(block)
        self._indexes.append(pa.table({"doc_id": index.doc_ids, "bytes": pa.array(index.text_bytes, pa.int64())}))
        self.texts += index.texts
        self.forgotten += index.forgotten
        self._digests += index.digests
        self.columns |= index.columns
        self.named |= index.named
        self._documents = None

    def absorb(self, other: Corpus) -> None:
        """Take in all that another one has, which was made with the same bounds and is not used again."""
        self._blocks += other._blocks
        self._indexes += other._indexes
        self.texts += other.texts
        self.forgotten += other.forgotten
        self._digests += other._digests
        self.columns |= other.columns
        self.named |= other.named
        self._documents = None

    @property
    def digests(self) -> list[str]:
        """What the records of each part add up to: the same whatever the files and the order."""
        return to_hex(self._digests)

    @property
    def input_digest(self) -> str:
        """What all records add up to: whatever the bounds, too."""
        return to_hex(self._digests.sum(axis=0, keepdims=True))[0]

    @property
    def doc_ids(self) -> pa.Array:
        """All distinct ids, sorted by their UTF-8 bytes."""
        return self._index["doc_id"].combine_chunks()

    def bounds(self, previous: Bounds | None, part_bytes: int) -> Bounds:
        """Bounds of the parts: those of the predecessor, adapted, or exactly cut."""
        sizes: npt.NDArray[np.int64] = self._index["bytes_sum"].to_numpy()
        if previous is None:
            return cut_bounds(self.doc_ids, sizes, part_bytes)
        return follow_bounds(previous, self.doc_ids, sizes, part_bytes)

    def take_blocks(self) -> list[Any]:
        """The references to all blocks, given up here so that Ray can free each as soon as it is used."""
        blocks, self._blocks = self._blocks, []
        return blocks

    @property
    def _index(self) -> pa.Table:
        if self._documents is None:
            empty = pa.table({"doc_id": pa.array([], pa.string()), "bytes": pa.array([], pa.int64())})
            sizes = pa.concat_tables([empty, *self._indexes]).group_by("doc_id").aggregate([("bytes", "sum")])
            self._documents = sizes.take(pc.sort_indices(sizes, [("doc_id", "ascending")])).combine_chunks()
            self._indexes.clear()
        return self._documents


@dataclass
class _Reading:
    """A file that is being read; what comes of it counts when it is read to its end."""

    number: int
    file: SourceFile
    attempts: int = 1
    found: Corpus | None = None
    """None until it begins: one takes memory for each part."""


def read_corpus(
    files: Sequence[SourceFile],
    config: CorpusConfig,
    check: Callable[[], None],
    *,
    bounds: Bounds = WHOLE,
    ids: tuple[str, ...] = (),
    suppression: Suppression = NOBODY,
    on_loss: OnLoss = lambda _failed: None,
) -> Corpus:
    """Read all files on the workers. ``check`` is called now and then and may raise to end it.

    A file whose worker is lost or whose store does not answer is read again, after a while; ``on_loss`` is told.

    Digests are by the parts of ``bounds``; ``ids`` are looked for in passing. Documents on the
    suppression list are left out, of the digests too: a source that still has one is to a run like one that has not.

    Raises what ``kizami.sources`` raises, and ConfigurationError for an id or a field that no file has.
    """
    corpus = Corpus(bounds)
    given = ray.put((bounds, ids, suppression))
    waiting = [_Reading(number, file) for number, file in enumerate(files)][::-1]
    streams: dict[Any, _Reading] = {}
    put_off = PutOff[_Reading]()
    while waiting or streams or put_off:
        waiting += put_off.due()
        while waiting and len(streams) < _FILES_AT_ONCE:
            reading = waiting.pop()
            reading.found = Corpus(bounds)
            streams[read_file.remote(reading.file, reading.number, config, given)] = reading
        if not streams:
            time.sleep(_WAIT_SECONDS)
        ready, _ = ray.wait(list(streams), timeout=_WAIT_SECONDS, fetch_local=False) if streams else ([], [])
        check()
        stream: Any  # Ray types a stream of objects as one object
        for stream in ready:
            reading = streams[stream]
            assert reading.found is not None
            try:
                reference = next(stream, None)
                if reference is None:
                    del streams[stream]
                    corpus.absorb(reading.found)
                    continue
                index: Any = ray.get(reference)  # raises what the task raised
                reading.found.add(next(stream), index)
            except RayError as error:
                again = retry(error, reading.attempts)
                if again is None:
                    raise
                del streams[stream]
                failed = FailedAttempt(None, f"source file {reading.number}: {again[0]}", again[1])
                on_loss(failed)
                # From the beginning: nothing of this attempt counts.
                put_off.add(_Reading(reading.number, reading.file, reading.attempts + 1), failed.wait_seconds)
    if corpus.columns or len(corpus.doc_ids):
        absent_columns(
            frozenset(corpus.columns), source=config.source, id_column=config.id_column, fields=config.fields
        )
    return corpus
