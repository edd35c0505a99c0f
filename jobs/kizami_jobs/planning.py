"""Planning a run: read the source as the run would, compare what changed, write nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import ray

from kizami.analysis.dictionary import bundled_dictionary, fingerprint
from kizami.analysis.user_dictionary import UserDictionary, inspect, read_user_dictionary
from kizami.config import Config, CorpusConfig
from kizami.derivation import versions_of
from kizami.ledger import Ledger
from kizami.part_reader import read_row_groups
from kizami.parts import WHOLE, Bounds, lower_places, prepare
from kizami.plan import COMPARED_COLUMNS, Plan, TextCounts, compare_texts, estimate_seconds
from kizami.predecessor import PlannedPart, Predecessor, PreviousPart, overlaps, plan_parts
from kizami.readers import find_pointer, has_versions, manifests_beside, read_manifest
from kizami.record import now
from kizami.signals import Interruption
from kizami.stores import ObjectStore, open_store
from kizami.suppression import read_suppression
from kizami.texts import TEXTS
from kizami_jobs.building import shuffle
from kizami_jobs.cluster import cluster_error, connected
from kizami_jobs.intake import describe, digest_of_input
from kizami_jobs.progress import Progress
from kizami_jobs.reading import Corpus, read_corpus
from kizami_jobs.request import RunRequest, business_date
from kizami_jobs.waiting import open_corpus
from kizami_schemas import v1

_WAIT_SECONDS: Final = 0.5
_RUNS_LOOKED_AT: Final = 60


def plan_corpus(
    config: Config, request: RunRequest, progress: Progress, *, address: str | None, interruption: Interruption
) -> Plan:
    """What ``run_corpus`` would do for this request, at this moment. It takes no lock and leaves no trace.

    Raises the errors of ``kizami.errors``.
    """
    corpus = config.corpus(request.corpus)
    day = business_date(request, corpus, now().astimezone(config.timezone).date()).isoformat()
    corpus = corpus.of_date(day)
    store = open_store(config.store)
    pointer = find_pointer(store, corpus.name)
    own = fingerprint(bundled_dictionary().with_words(_user_dictionary(corpus, progress)), corpus.normalisation)
    versions = versions_of(corpus.schemas)
    predecessor = None
    if pointer:
        others = manifests_beside(store, pointer, versions)
        predecessor = Predecessor(read_manifest(store, pointer), own, corpus.fields, others)
    bounds = predecessor.manifest.bounds if predecessor else WHOLE
    suppression = read_suppression(store, corpus.name)
    same = None
    with closing(open_corpus(corpus, interruption.sleep)) as origin, connected(address):
        try:
            read = read_corpus(
                origin, corpus, interruption.check, bounds=bounds, suppression=suppression, say=progress.say
            )
            progress.say(describe(read))
            if request.renewal.asks_nothing:
                same = _published(store, corpus, day, digest_of_input(read, corpus, own))
            parts = plan_parts(_bounds(read, predecessor, corpus), predecessor, read.digests, request.renewal)
            compared = _compare(read, predecessor, parts, corpus, store=config.store, check=interruption.check)
        except ray.exceptions.RayError as error:
            raise cluster_error(error) from error
    texts = sum((each.texts for each in compared), start=TextCounts())
    copied = sum(part.copied.entry.rows for part in parts if part.copied)
    taken_over = sum(each.known for each, part in zip(compared, parts, strict=True) if part.previous)
    analysed = read.texts - read.forgotten - texts.held_back - copied - taken_over
    history = Ledger(store, corpus.name).history(_RUNS_LOOKED_AT, progress.say)
    return Plan(
        corpus=corpus.name,
        date=day,
        predecessor=pointer.snapshot if pointer else None,
        published=same,
        texts=texts,
        texts_analysed=analysed,
        texts_reused=copied + taken_over,
        parts=len(parts),
        parts_copied=sum(part.copied is not None for part in parts),
        parts_derived=sum(len(versions) - len(part.copied.derived if part.copied else ()) for part in parts),
        seconds=estimate_seconds(history, analysed, taken_over),
    )


def _user_dictionary(corpus: CorpusConfig, progress: Progress) -> UserDictionary | None:
    """The corpus's own words, as a run reads and checks them."""
    if corpus.user_dictionary is None:
        return None
    user = read_user_dictionary(corpus.user_dictionary)
    progress.say(inspect(user, bundled_dictionary().folder, corpus.normalisation))
    return user


def _published(store: ObjectStore, corpus: CorpusConfig, day: str, input_digest: str) -> str | None:
    """The snapshot of the date, if it was made of this input, in all versions of the schema."""
    pointer = find_pointer(store, corpus.name, day)
    if pointer is None or not has_versions(store, pointer, corpus.schemas):
        return None
    return pointer.snapshot if read_manifest(store, pointer).input_digest == input_digest else None


def _bounds(read: Corpus, predecessor: Predecessor | None, corpus: CorpusConfig) -> Bounds:
    return read.bounds(predecessor.manifest.bounds if predecessor else None, corpus.part_bytes)


@dataclass(frozen=True, slots=True)
class _Compared:
    """A part of the snapshot to be, beside the predecessor."""

    texts: TextCounts
    known: int
    """Texts of which the predecessor has a row there."""


def _compare(
    read: Corpus,
    predecessor: Predecessor | None,
    parts: Sequence[PlannedPart],
    corpus: CorpusConfig,
    *,
    store: str,
    check: Callable[[], None],
) -> list[_Compared]:
    """All parts, in order; those that would be copied are not looked at."""
    previous = predecessor.parts() if predecessor else []
    bounds = tuple(part.lower for part in parts)
    wanted = tuple(part.number for part in parts if not part.copied)
    ranges = list(overlaps(bounds, previous))
    found = {
        part.number: _Compared(TextCounts(unchanged=part.copied.entry.rows), part.copied.entry.rows)
        for part in parts
        if part.copied
    }
    if wanted:
        slices, _ = shuffle(read.take_blocks(), bounds, wanted)
        tasks = {
            compare_part.remote(store, ranges[number], corpus.fields, *own): number
            for number, own in zip(wanted, slices, strict=True)
        }
        while tasks:
            done, _ = ray.wait(list(tasks), timeout=_WAIT_SECONDS)
            check()
            for task in done:
                found[tasks.pop(task)] = ray.get(task)
    return [found[number] for number in range(len(parts))]


@ray.remote(num_cpus=1, max_retries=3)
def compare_part(
    store: str, where: tuple[str, str | None, tuple[PreviousPart, ...]], fields: tuple[str, ...], *slices: pa.Table
) -> _Compared:
    """Compare the texts of one part with the rows that the predecessor has in its range."""
    lower, upper, previous = where
    prepared = prepare(pa.concat_tables(slices) if slices else TEXTS.empty_table())
    tables = [v1.SCHEMA.empty_table().select(COMPARED_COLUMNS)]
    for part in previous:
        tables += read_row_groups(f"{store}/{part.location}", COMPARED_COLUMNS)
    everywhere = pa.concat_tables(tables).combine_chunks()
    first = lower_places(everywhere["doc_id"].combine_chunks(), [lower])[0]
    end = len(everywhere) if upper is None else lower_places(everywhere["doc_id"].combine_chunks(), [upper])[0]
    counts = compare_texts(prepared.sound, everywhere.slice(first, end - first), fields)
    known = pc.is_in(prepared.sound["text_hash"], everywhere["text_hash"].combine_chunks())
    return _Compared(replace(counts, held_back=len(prepared.faulty)), int(pc.sum(known).as_py() or 0))
