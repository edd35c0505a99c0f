"""Intake: what was read of a source, told in a line, checked against what was asked for, and digested."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from kizami.config import CorpusConfig
from kizami.errors import DataError
from kizami.identity import has_form, id_columns_of
from kizami.ledger import RunCounts
from kizami.renewal import Renewal
from kizami.sources import SourceFile
from kizami.suppression import Suppression
from kizami_jobs.reading import Corpus
from kizami_schemas import v1

_NAMED: Final = 20
"""Ids that an error names."""


def digest_of_input(corpus: Corpus, config: CorpusConfig, fingerprint: str) -> str:
    """The digest of all that decides a snapshot."""
    decisive = {
        "rows": corpus.input_digest,
        "fingerprint": fingerprint,
        "columns": v1.SCHEMA.names,
        "id": config.id_column,
        "fields": config.fields,
        "part_bytes": config.part_bytes,
    }
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


def describe(read: Corpus) -> str:
    """What was read, in a line."""
    from_files = all(isinstance(part, SourceFile) for part in read.parts)
    kind, number = ("files", len({part.url for part in read.parts})) if from_files else ("ranges", len(read.parts))
    forgotten = f", {read.forgotten:,} of them forgotten" if read.forgotten else ""
    return f"read {len(read.doc_ids):,} documents, {read.texts:,} texts{forgotten}; {kind}: {number:,}"


def check_ids(renewal: Renewal, read: Corpus, corpus: CorpusConfig, suppression: Suppression) -> None:
    """Raise DataError naming the ids that the source does not have; one that is to be forgotten is not named again."""
    if forgotten := sum(map(suppression.holds, renewal.ids)):
        raise DataError(
            f"{forgotten:,} of the {len(renewal.ids):,} ids given for {corpus.name} are of documents that "
            "`kizami forget` took down: nothing was analysed; take them out and run it again"
        )
    absent = [doc_id for doc_id in renewal.ids if doc_id not in read.named]
    if absent:
        more = f" and {len(absent) - _NAMED:,} more" if len(absent) > _NAMED else ""
        columns = id_columns_of(corpus.id_column)
        if not all(has_form(doc_id, len(columns)) for doc_id in absent):
            more += f" (an id is {'/'.join(columns)}, where / in a value is written %2F and % is written %25)"
        raise DataError(
            f"{corpus.source_name} has no document {', '.join(map(repr, absent[:_NAMED]))}{more}: nothing was "
            "analysed; correct the ids and run it again"
        )


def require_rows(counts: RunCounts, corpus: CorpusConfig, *, allow_empty: bool) -> None:
    """Raise DataError where nothing that was read can be published; ``allow_empty``: a source without any text can."""
    if counts.rows:
        return
    if counts.quarantined:
        raise DataError(f"all {counts.quarantined:,} texts of {corpus.source_name} were held back: see quarantine/")
    if counts.texts == counts.forgotten and not allow_empty:
        raise DataError(f"{corpus.source_name} has no texts to publish; give --allow-empty if that is right")
