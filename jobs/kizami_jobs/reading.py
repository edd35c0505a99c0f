"""Reading the source once, on the workers; what stays with the driver is an index of the documents."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.exceptions import RayError, RayTaskError

from kizami.config import CorpusConfig
from kizami.errors import KizamiError, UnavailableError
from kizami.input_digests import no_digests, to_hex
from kizami.ledger import FailedAttempt
from kizami.parts import WHOLE, Bounds, cut_bounds, follow_bounds
from kizami.sources import PIECE_BYTES, Origin, SourceFile, SourcePart, ViewLostError, absent_columns, bundles
from kizami.suppression import NOBODY, Suppression
from kizami_jobs.retries import LOSSES, OnLoss, PutOff, retry
from kizami_jobs.tasks import BlockIndex, read_parts

_WAIT_SECONDS: Final = 0.5
_FILES_AT_ONCE: Final = 256
"""Read tasks under way at the most; each costs the driver memory."""
_READINGS: Final = 4
"""Of one source, at the most, where its view is lost: a server that is started again loses all."""
_ENDING_SECONDS: Final = 30.0


class Corpus:
    """What was read: blocks of texts in Ray's object store, each document's size, and digests by the bounds given."""

    def __init__(self, bounds: Bounds = WHOLE) -> None:
        self._blocks: list[Any] = []
        self._indexes: list[pa.Table] = []
        self._documents: pa.Table | None = None
        self.parts: tuple[SourcePart, ...] = ()
        """What it was read from; the texts refer to them by number."""
        self.texts = 0
        """Texts that must end up in a row or in quarantine, and those forgotten."""
        self.forgotten = 0
        """Texts of documents on the suppression list: they were left out."""
        self._digests = no_digests(len(bounds))
        self._lines: dict[int, int] = {}
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
        self._lines.update(index.lines)
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
        self._lines.update(other._lines)
        self.columns |= other.columns
        self.named |= other.named
        self._documents = None

    @property
    def lines_before(self) -> tuple[int, ...]:
        """Of each part, the lines of its file before it, where they were not known when it was read."""
        before: list[int] = []
        for number, part in enumerate(self.parts):
            follows = number > 0 and isinstance(part, SourceFile) and part.piece is not None and part.piece[0] > 0
            before.append(before[-1] + self._lines.get(number - 1, 0) if follows else 0)
        return tuple(before)

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
    """Parts that one task reads; what comes of them counts when they are read to their end."""

    parts: tuple[tuple[int, SourcePart], ...]
    attempts: int = 1
    found: Corpus = field(default_factory=Corpus)
    """Made when it begins: one takes memory for each part."""

    @property
    def name(self) -> str:
        """For a message."""
        first = self.parts[0][1].url
        return first if len(self.parts) == 1 else f"{first} and {len(self.parts) - 1:,} more"


def read_corpus(
    origin: Origin,
    config: CorpusConfig,
    check: Callable[[], None],
    *,
    bounds: Bounds = WHOLE,
    ids: tuple[str, ...] = (),
    suppression: Suppression = NOBODY,
    on_loss: OnLoss = lambda _failed: None,
    say: Callable[[str], None] = lambda _: None,
) -> Corpus:
    """Read all of a source on the workers, and close it. ``check`` is called now and then and may raise to end it.

    Files whose worker is lost or whose store does not answer are read again, after a while; ``on_loss`` is told.

    Digests are by the parts of ``bounds``; ``ids`` are looked for in passing. Documents on the
    suppression list are left out, of the digests too: a source that still has one is to a run like one that has not.

    Where the moment that is read is lost from sight, all is read again, of another one: never a rest of it. ``say`` is
    told.

    Raises what ``kizami.sources`` raises, and ConfigurationError for an id or a field that no file has.
    """
    given = ray.put((bounds, ids, suppression))
    lost: Exception | None = None
    for _ in range(_READINGS):
        try:
            if lost is not None:
                origin = origin.reopened()
            corpus = _read(origin, config, check, given, bounds=bounds, on_loss=on_loss)
        except ViewLostError as error:
            lost = error.cause if isinstance(error, RayTaskError) else error
            say(f"{lost}: reading it again from the beginning")
        else:
            break
        finally:
            origin.close()
    else:
        raise UnavailableError(f"{lost}; given up after {_READINGS} times")
    if corpus.columns or len(corpus.doc_ids):
        absent_columns(
            frozenset(corpus.columns), source=config.source_name, id_column=config.id_column, fields=config.fields
        )
    return corpus


def _read(
    origin: Origin, config: CorpusConfig, check: Callable[[], None], given: Any, *, bounds: Bounds, on_loss: OnLoss
) -> Corpus:
    corpus = Corpus(bounds)
    corpus.parts = tuple(origin.parts)
    # Of a range of a view, another attempt might see its rows in another order: it is for the whole to begin again.
    files = origin.at_once is None
    task = read_parts if files else read_parts.options(max_retries=0)
    numbered = list(enumerate(corpus.parts))
    together = bundles([(each, _size(each[1])) for each in numbered]) if files else [(each,) for each in numbered]
    waiting = [_Reading(parts) for parts in together][::-1]
    put_off = PutOff[_Reading]()
    streams: dict[Any, _Reading] = {}
    try:
        while waiting or streams or put_off:
            waiting += put_off.due()
            while waiting and len(streams) < (origin.at_once or _FILES_AT_ONCE):
                reading = waiting.pop()
                reading.found = Corpus(bounds)
                streams[task.remote(reading.parts, config, given)] = reading
            if not streams:
                time.sleep(_WAIT_SECONDS)
            ready, _ = ray.wait(list(streams), timeout=_WAIT_SECONDS, fetch_local=False) if streams else ([], [])
            check()
            origin.check()
            stream: Any  # Ray types a stream of objects as one object
            for stream in ready:
                reading = streams[stream]
                try:
                    if not _take(stream, reading.found):
                        del streams[stream]
                        corpus.absorb(reading.found)
                except RayError as error:
                    again = retry(error, reading.attempts) if files else None
                    if again is None:
                        raise
                    del streams[stream]
                    failed = FailedAttempt(None, f"source file {reading.name}: {again[0]}", again[1])
                    on_loss(failed)
                    # From the beginning: nothing of this attempt counts.
                    put_off.add(_Reading(reading.parts, reading.attempts + 1), failed.wait_seconds)
    except ViewLostError:
        _end(list(streams))
        raise
    except tuple(LOSSES) as error:
        _end(list(streams))
        if files:
            raise
        raise ViewLostError(f"source {config.source_name}: a worker that read it died") from error
    return corpus


def _take(stream: Any, found: Corpus) -> bool:
    """Take the next block of a stream into ``found``; False at its end. Raises what the task raised."""
    reference = next(stream, None)
    if reference is None:
        return False
    index: Any = ray.get(reference)
    block = next(stream)
    if block == stream.completed():
        # Not a block: the task ended between the two, and this is its error.
        ray.get(block)
    found.add(block, index)
    return True


def _size(part: SourcePart) -> int:
    """Of a piece of a file, what a piece is aimed at."""
    return PIECE_BYTES if isinstance(part, SourceFile) and part.piece is not None else part.size_bytes


def _end(streams: Sequence[Any]) -> None:
    """End the tasks, and wait until their connections are closed: the next ones count against the limit, too."""
    for stream in streams:
        ray.cancel(stream)
    end = time.monotonic() + _ENDING_SECONDS
    for stream in streams:
        with suppress(RayError, KizamiError, StopIteration):
            while time.monotonic() < end:
                if ray.wait([stream], timeout=_WAIT_SECONDS, fetch_local=False)[0]:
                    ray.get(next(stream))
