"""Reading the source once, on the workers; what stays with the driver is an index of the documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray

from kizami.config import CorpusConfig
from kizami.parts import Bounds, cut_bounds, follow_bounds
from kizami.sources import SourceFile, absent_columns
from kizami_jobs.tasks import DOCUMENTS, BlockIndex, read_file

_WAIT_SECONDS: Final = 0.5
_FILES_AT_ONCE: Final = 256
"""Read tasks under way at the most; each costs the driver memory."""


class Corpus:
    """What was read: blocks of texts in Ray's object store, and each document's size."""

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self._indexes: list[pa.Table] = []
        self._documents: pa.Table | None = None
        self._texts = 0
        self._digest = 0
        self.columns: set[str] = set()
        """Names of columns seen in the source."""

    def add(self, block: Any, index: BlockIndex) -> None:
        """Take in a block, by reference, and its index."""
        self._blocks.append(block)
        self._indexes.append(index.documents)
        self._texts += index.texts
        self._digest += index.input_digest
        self.columns |= index.columns

    @property
    def texts(self) -> int:
        """Texts that must end up in a row or in quarantine; a document without any counts as one if its id is not its
        own."""
        index = self._index
        shared = index.filter(pc.greater(index["records"], 1))
        return self._texts + (pc.sum(shared["textless"]).as_py() or 0)

    @property
    def input_digest(self) -> int:
        """Sum of the digests of all rows, modulo 2**256: the same whatever the files and the order."""
        return self._digest % (1 << 256)

    @property
    def doc_ids(self) -> pa.Array:
        """All distinct ids, sorted by their UTF-8 bytes."""
        return self._index["doc_id"].combine_chunks()

    def bounds(self, previous: Bounds | None, part_bytes: int) -> Bounds:
        """Bounds of the parts: those of the predecessor, adapted, or exactly cut."""
        sizes: npt.NDArray[np.int64] = self._index["bytes"].to_numpy()
        if previous is None:
            return cut_bounds(self.doc_ids, sizes, part_bytes)
        return follow_bounds(previous, self.doc_ids, sizes, part_bytes)

    def take_blocks(self) -> list[Any]:
        """The references to all blocks, given up here so that Ray can free each as soon as it is used."""
        blocks, self._blocks = self._blocks, []
        return blocks

    @property
    def _index(self) -> pa.Table:
        """Schema DOCUMENTS, by the UTF-8 bytes of the id."""
        if self._indexes or self._documents is None:
            tables = [self._documents or DOCUMENTS.empty_table(), *self._indexes]
            sums = [(name, "sum") for name in DOCUMENTS.names[1:]]
            documents = pa.concat_tables(tables).group_by("doc_id").aggregate(sums)
            documents = documents.select(["doc_id", *(f"{name}_sum" for name, _ in sums)])
            documents = documents.rename_columns(DOCUMENTS.names).cast(DOCUMENTS)
            self._documents = documents.take(pc.sort_indices(documents, [("doc_id", "ascending")])).combine_chunks()
            self._indexes.clear()
        return self._documents


def read_corpus(files: Sequence[SourceFile], config: CorpusConfig, check: Callable[[], None]) -> Corpus:
    """Read all files on the workers. ``check`` is called now and then and may raise to end it.

    Raises what ``kizami.sources`` raises, and ConfigurationError for an id or a field that no file has.
    """
    corpus = Corpus()
    waiting = list(enumerate(files))[::-1]
    streams: list[Any] = []
    while waiting or streams:
        while waiting and len(streams) < _FILES_AT_ONCE:
            number, file = waiting.pop()
            streams.append(read_file.remote(file, number, config))
        ready, _ = ray.wait(streams, timeout=_WAIT_SECONDS, fetch_local=False)
        check()
        stream: Any  # Ray types a stream of objects as one object
        for stream in ready:
            try:
                block = next(stream)
                index: Any = ray.get(next(stream))
                corpus.add(block, index)
            except StopIteration:
                streams.remove(stream)
    if corpus.columns or len(corpus.doc_ids):
        absent_columns(
            frozenset(corpus.columns), source=config.source, id_column=config.id_column, fields=config.fields
        )
    return corpus
