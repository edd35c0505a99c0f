"""What runs on the workers: reading a file, cutting blocks into parts, building a part."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import ray

from kizami.analysis.analyser import Analyser, process_analyser
from kizami.analysis.contract import TextAnalyser
from kizami.analysis.dictionary import Dictionary, bundled_dictionary, fingerprint
from kizami.analysis.guard import GuardedAnalyser
from kizami.analysis.watchdog import WatchedAnalyser
from kizami.config import MAX_DOCUMENT_BYTES, CorpusConfig
from kizami.errors import ConfigurationError, UnavailableError
from kizami.part_builder import BuiltPart, PartJob, build_part
from kizami.parts import Bounds, split
from kizami.sources import SourceFile, read_texts
from kizami.stores import ObjectMissingError, ObjectStore, open_store


@dataclass(frozen=True, slots=True)
class SharedStore:
    """A store as workers reach it."""

    url: str
    probe_key: str | None
    """An object the driver wrote, where the store is a folder and the cluster has several hosts."""

    def open(self) -> ObjectStore:
        """Open the store. Raises ConfigurationError on a host that does not see the driver's folder."""
        store = _process_store(self.url)
        if self.probe_key is not None:
            try:
                store.get(self.probe_key)
            except ObjectMissingError:
                raise ConfigurationError(
                    f"host {socket.gethostname()} does not see the driver's folder {self.url}: "
                    "on several hosts `store` is an s3:// URL or a folder all of them share"
                ) from None
        return store


@cache
def _process_store(url: str) -> ObjectStore:
    return open_store(url)


@dataclass(frozen=True, slots=True)
class BlockIndex:
    """What the driver needs to know of a block of texts."""

    doc_ids: pa.Array
    """Distinct, string."""
    text_bytes: npt.NDArray[np.int64]
    """UTF-8 bytes of text of each document in this block."""
    texts: int
    """Texts that must end up in a row or in quarantine."""
    input_digest: int
    columns: frozenset[str]


@ray.remote(num_cpus=1, max_retries=3, num_returns="streaming")
def read_file(file: SourceFile, number: int, corpus: CorpusConfig) -> Iterator[Any]:
    """Read a file of the source; yield, in turns, a BlockIndex and its block of texts (schema TEXTS).

    The index comes first because the driver fetches it: an error of this task arrives in the place of the next object.
    """
    blocks = read_texts(
        file,
        file_index=number,
        id_column=corpus.id_column,
        fields=corpus.fields,
        document_limit_bytes=MAX_DOCUMENT_BYTES,
    )
    for block in blocks:
        sizes = pa.table({"doc_id": block.texts["doc_id"], "bytes": pc.binary_length(block.texts["text"])})
        documents = sizes.group_by("doc_id").aggregate([("bytes", "sum")])
        documents = documents.filter(pc.is_valid(documents["doc_id"]))
        yield BlockIndex(
            doc_ids=documents["doc_id"].combine_chunks(),
            text_bytes=documents["bytes_sum"].fill_null(0).to_numpy().astype(np.int64),
            texts=_count_texts(block.texts),
            input_digest=block.input_digest,
            columns=block.columns,
        )
        yield block.texts


def _count_texts(texts: pa.Table) -> int:
    """Rows that must end up in a row or in quarantine: all but those of sound documents without texts."""
    counted = pc.or_(pc.is_valid(texts["text_hash"]), pc.is_valid(texts["reason"]))
    return int(pc.sum(counted).as_py() or 0)


@ray.remote(num_cpus=1, max_retries=3)
def split_blocks(bounds: Bounds, *blocks: pa.Table) -> Any:
    """Cut blocks into one table a part; as many return values as there are parts."""
    tables = split(pa.concat_tables(blocks), bounds)
    return tables if len(tables) > 1 else tables[0]


@ray.remote(num_cpus=0)
class ProgressBoard:
    """How many texts of each part are done. A part that is tried again starts from its beginning."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}

    def report(self, part: int, texts: int) -> None:
        """Note that ``texts`` texts of ``part`` are done."""
        self._done[part] = texts

    def total(self) -> int:
        """Texts done in all parts."""
        return sum(self._done.values())


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A part, and the process that built it."""

    part: BuiltPart
    host: str
    pid: int
    peak_bytes: int
    """The largest private memory (USS) seen while it built this part."""
    seconds: float
    """Wall clock of building it, from its texts at hand to the finished part in staging."""


# No retries by Ray: a text that crashes the worker would crash every one of them. The driver tries again, guarded.
@ray.remote(num_cpus=1, max_retries=0)
def make_part(
    job: PartJob, corpus: CorpusConfig, shared: SharedStore, board: Any, guarded: bool, *slices: pa.Table
) -> WorkerReport:
    """Build one part and put it in staging.

    The Tagger is this process's own, which a text may crash and the watchdog ends when a text makes it hang; with
    ``guarded`` it is that of a child, and such a text is held back.
    """
    started = time.monotonic()
    store = shared.open()
    dictionary = bundled_dictionary()
    own = fingerprint(dictionary, corpus.normalisation)
    if own != job.fingerprint:
        raise UnavailableError(
            f"host {socket.gethostname()} analyses with {dictionary.name} and fingerprint {own}, the driver with "
            f"{job.fingerprint}: install the same versions on every host"
        )
    process = psutil.Process()
    peak = process.memory_full_info().uss

    def progress(texts: int) -> None:
        nonlocal peak
        peak = max(peak, process.memory_full_info().uss)
        board.report.remote(job.number, texts)

    with _analyser(dictionary, corpus, guarded=guarded) as analyser:
        part = build_part(job, slices, analyser, store, progress)
    return WorkerReport(part, socket.gethostname(), os.getpid(), peak, time.monotonic() - started)


@contextmanager
def _analyser(dictionary: Dictionary, corpus: CorpusConfig, *, guarded: bool) -> Iterator[TextAnalyser]:
    if guarded:
        make = partial(Analyser, dictionary, corpus.normalisation)
        with GuardedAnalyser(make, corpus.hang_after_seconds) as analyser:
            yield analyser
    else:
        yield WatchedAnalyser(process_analyser(dictionary, corpus.normalisation), corpus.hang_after_seconds)
