"""What runs on the workers: reading a file, cutting blocks into parts, building a part."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Final

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
from kizami.analysis.user_dictionary import UserDictionary
from kizami.analysis.watchdog import WatchedAnalyser
from kizami.config import MAX_DOCUMENT_BYTES, CorpusConfig
from kizami.errors import ConfigurationError, LastingError
from kizami.input_digests import Limbs, add_up, no_digests
from kizami.part_builder import BuiltPart, Done, PartJob, build_part, derive_copied
from kizami.parts import Bounds, part_numbers, split
from kizami.sources import Block, SourcePart, gathered, read_texts
from kizami.stores import ObjectMissingError, ObjectStore, open_store
from kizami.suppression import Suppression
from kizami_jobs.board import Attempt, Board
from kizami_jobs.memory import PeakMemory, release_memory, use_lasting_pool
from kizami_jobs.reruns import announce
from kizami_schemas.versions import SchemaVersion, find_version

_TELL_SECONDS: Final = 1.0
"""How often at the most a worker tells how far it is: the driver looks no more often."""


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
    """String, no nulls; not distinct where records share an id."""
    text_bytes: npt.NDArray[np.int64]
    """UTF-8 bytes of text of each of them."""
    texts: int
    """Texts that must end up in a row or in quarantine, or are forgotten."""
    forgotten: int
    """Texts of documents that are to be forgotten. They are in no block, nor in anything else here."""
    digests: Limbs
    """What its records add up to, by the parts of the predecessor."""
    columns: frozenset[str]
    lines: Mapping[int, int]
    """As ``Block.lines``."""
    named: frozenset[str]
    """Which of the ids asked for are in it."""


@ray.remote(num_cpus=1, max_retries=3, num_returns="streaming")
def read_parts(
    parts: tuple[tuple[int, SourcePart], ...],
    corpus: CorpusConfig,
    given: tuple[Bounds, tuple[str, ...], Suppression],
) -> Iterator[Any]:
    """Read some parts of the source, each with its number; yield, in turns, a BlockIndex and its Block.

    ``given`` are the bounds of the predecessor, ids to look for, and the documents to leave out. The index comes
    first because the driver fetches it: an error of this task arrives in the place of the next object.
    """
    announce(f"Ray read {parts[0][1].url} again: its worker or host was lost, or what it had read")
    bounds, ids, suppression = given
    blocks = (
        block
        for number, part in parts
        for block in read_texts(
            part,
            file_index=number,
            id_column=corpus.id_column,
            fields=corpus.fields,
            document_limit_bytes=MAX_DOCUMENT_BYTES,
        )
    )
    for whole in gathered(blocks):
        suppressed = suppression.among(whole.doc_ids)
        block = whole.without(suppressed) if len(suppressed) else whole
        has_id = pc.is_valid(block.doc_ids)
        yield BlockIndex(
            doc_ids=block.doc_ids.filter(has_id),
            text_bytes=block.text_bytes[has_id.to_numpy(zero_copy_only=False)],
            texts=int(whole.text_counts.sum()),
            forgotten=int(whole.text_counts.sum() - block.text_counts.sum()),
            digests=add_up(block.digests, part_numbers(block.doc_ids, bounds), len(bounds)),
            columns=block.columns,
            lines=block.lines,
            named=_named(block.doc_ids, ids),
        )
        yield block
    release_memory()


def _named(doc_ids: pa.Array, ids: tuple[str, ...]) -> frozenset[str]:
    return frozenset(doc_ids.filter(pc.is_in(doc_ids, pa.array(ids, pa.string()))).to_pylist()) if ids else frozenset()


@ray.remote(num_cpus=1, max_retries=3)
def split_blocks(bounds: Bounds, wanted: tuple[int, ...], *blocks: Block) -> Any:
    """Cut blocks into parts: the Limbs of all parts, then one table a part wanted. As many return values."""
    announce("Ray cut blocks of texts into parts again: a worker or host was lost, or what it had cut")
    release_memory()
    digests = no_digests(len(bounds))
    for block in blocks:
        digests += add_up(block.digests, part_numbers(block.doc_ids, bounds), len(bounds))
    return [digests, *split(pa.concat_tables([block.texts for block in blocks]), bounds, wanted)]


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
    cpu_seconds: float
    """Processor time of the same, that of the children it has waited for included."""


# No retries by Ray: a text that crashes the worker would crash every one of them. The driver tries again, guarded.
@ray.remote(num_cpus=1, max_retries=0)
def make_part(  # noqa: PLR0917  # Ray types only functions of positional parameters
    job: PartJob,
    corpus: CorpusConfig,
    shared: SharedStore,
    board: Board,
    attempt: int,
    user: UserDictionary | None,
    versions: tuple[str, ...],
    *slices: pa.Table,
) -> WorkerReport:
    """Build one part and put it in staging. ``user`` has the corpus's own words, as the driver read them; ``versions``
    are the names of those of the schema to derive from it; ``attempt`` is how many were made at it before.

    At the first attempt the Tagger is this process's own, which a text may crash and the watchdog ends when a text
    makes it hang; after that it is that of a child, and such a text is held back.
    """
    process = psutil.Process()
    started, cpu_started = time.monotonic(), _processor_seconds(process)
    own_attempt = Attempt(job.number, attempt)
    board.tell(own_attempt, Done())
    release_memory()
    use_lasting_pool()
    store = shared.open()
    dictionary = bundled_dictionary().with_words(user)
    own = fingerprint(dictionary, corpus.normalisation)
    if own != job.fingerprint:
        raise LastingError(
            f"host {socket.gethostname()} analyses with {dictionary.name} and fingerprint {own}, the driver with "
            f"{job.fingerprint}: install the same versions on every host"
        )
    peak, told = PeakMemory(process), time.monotonic()

    def progress(done: Done) -> None:
        nonlocal told
        peak.look()
        if time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            board.tell(own_attempt, done)

    with _analyser(dictionary, corpus, guarded=attempt > 0) as analyser:
        part = build_part(replace(job, versions=_versions(versions)), slices, analyser, store, progress)
    peak_bytes = peak.measured()
    cpu_seconds = _processor_seconds(process) - cpu_started
    return WorkerReport(part, socket.gethostname(), os.getpid(), peak_bytes, time.monotonic() - started, cpu_seconds)


def _processor_seconds(process: psutil.Process) -> float:
    """Of a process so far, user and system, that of the children it has waited for included."""
    return sum(process.cpu_times()[:4])


# Deriving is deterministic and gives no text to MeCab: Ray may try it again by itself.
@ray.remote(num_cpus=1, max_retries=3)
def derive_versions(
    corpus: str, run: str, part: BuiltPart, versions: tuple[str, ...], shared: SharedStore
) -> BuiltPart:
    """Derive from a part of the predecessor what it lacks of the versions of these names, and put that in staging."""
    announce(f"Ray derived part {part.number} again: a worker or host was lost, or what it had made")
    release_memory()
    return derive_copied(shared.open(), corpus, part, _versions(versions), run=run)


def _versions(names: tuple[str, ...]) -> tuple[SchemaVersion, ...]:
    """The versions of the schema as this host has them. Raises LastingError where it lacks one."""
    found = []
    for name in names:
        version = find_version(int(name.partition(".")[0]))
        if version is None or version.name != name:
            has = f"has {version.name}" if version else "has none of that number"
            raise LastingError(
                f"host {socket.gethostname()} {has} where the driver has schema version {name}: "
                "install the same packages on every host"
            )
        found.append(version)
    return tuple(found)


@contextmanager
def _analyser(dictionary: Dictionary, corpus: CorpusConfig, *, guarded: bool) -> Iterator[TextAnalyser]:
    if guarded:
        make = partial(Analyser, dictionary, corpus.normalisation)
        with GuardedAnalyser(make, corpus.hang_after_seconds) as analyser:
            yield analyser
    else:
        yield WatchedAnalyser(process_analyser(dictionary, corpus.normalisation), corpus.hang_after_seconds)
