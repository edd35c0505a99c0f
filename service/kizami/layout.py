"""Where everything lies in a store: names in, keys out. Keys are relative to the store's root.

``schema`` is the major version of the schema; each has a tree of its own. Lock, ledger, staging, quarantine, tombstones
and suppression list are those of the first one, for all.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from kizami.errors import ConfigurationError

MAJOR_VERSIONS: Final = range(1, 10)
"""All that a store may have, published by whatever Kizami."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def corpus_prefix(corpus: str, schema: int = 1) -> str:
    """``v1/recipes/``: everything of a corpus. Raises ConfigurationError for a name that cannot be a folder's."""
    return f"v{schema}/{_name('corpus', corpus)}/"


def corpus_prefixes(corpus: str) -> tuple[str, ...]:
    """The same for every major version there may be, the first one first."""
    return tuple(corpus_prefix(corpus, schema) for schema in MAJOR_VERSIONS)


def within(corpus: str, key: str) -> tuple[int, str] | None:
    """The major version in whose tree of a corpus an object is, and its key there; None for one of no such tree."""
    for schema in MAJOR_VERSIONS:
        prefix = corpus_prefix(corpus, schema)
        if key.startswith(prefix):
            return schema, key.removeprefix(prefix)
    return None


def head_key(corpus: str, schema: int = 1) -> str:
    """Who is running, and the last commit; never deleted."""
    return f"{corpus_prefix(corpus, schema)}head.json"


def suppression_key(corpus: str, schema: int = 1) -> str:
    """The documents that no run takes in any more, by a keyed hash."""
    return f"{corpus_prefix(corpus, schema)}suppressed.json"


def latest_key(corpus: str, schema: int = 1) -> str:
    """The pointer to the newest snapshot."""
    return f"{corpus_prefix(corpus, schema)}latest.json"


def dates_prefix(corpus: str, schema: int = 1) -> str:
    """The pointers of all business dates."""
    return f"{corpus_prefix(corpus, schema)}dates/"


def date_key(corpus: str, day: str, schema: int = 1) -> str:
    """The pointer to a business date's newest revision. ``day`` is ISO 8601, ``2026-11-23``."""
    return f"{dates_prefix(corpus, schema)}{checked_date(day)}.json"


def snapshots_prefix(corpus: str, schema: int = 1) -> str:
    """The folders of all snapshots."""
    return f"{corpus_prefix(corpus, schema)}snapshots/"


def snapshot_prefix(corpus: str, snapshot: str, schema: int = 1) -> str:
    """The folder readers are given; ends with ``/`` and holds parts only."""
    return f"{snapshots_prefix(corpus, schema)}{_name('snapshot', snapshot)}/"


def snapshot_glob(corpus: str, snapshot: str, schema: int = 1) -> str:
    """The same for readers that want a pattern."""
    return f"{snapshot_prefix(corpus, snapshot, schema)}part-*.parquet"


def part_name(number: int) -> str:
    """``part-00007.parquet``: names sort as numbers do, so there are at most 100,000 parts."""
    if not 0 <= number < 100_000:
        raise ConfigurationError(f"a snapshot has at most 100,000 parts, not {number + 1}: raise `part_bytes`")
    return f"part-{number:05d}.parquet"


def part_key(corpus: str, snapshot: str, number: int, schema: int = 1) -> str:
    """One part of a published snapshot."""
    return snapshot_prefix(corpus, snapshot, schema) + part_name(number)


def manifests_prefix(corpus: str, schema: int = 1) -> str:
    """The manifests of all snapshots, candidates included."""
    return f"{corpus_prefix(corpus, schema)}manifests/"


def manifest_key(corpus: str, snapshot: str, schema: int = 1) -> str:
    """What a snapshot consists of; written after its parts."""
    return f"{manifests_prefix(corpus, schema)}{_name('snapshot', snapshot)}.json"


def staging_prefix(corpus: str, schema: int = 1) -> str:
    """Finished parts that are not yet in a snapshot."""
    return f"{corpus_prefix(corpus, schema)}staging/"


def staging_key(corpus: str, key: str, schema: int = 1) -> str:
    """One finished part; ``key`` is the hash of all that decides its bytes."""
    return f"{staging_prefix(corpus, schema)}{_name('staging key', key)}.parquet"


def tombstone_key(corpus: str, snapshot: str, schema: int = 1) -> str:
    """Since when no pointer names a snapshot any more: the age of this object."""
    return f"{corpus_prefix(corpus, schema)}tombstones/{_name('snapshot', snapshot)}.json"


def quarantine_prefix(corpus: str, schema: int = 1) -> str:
    """What runs could not analyse."""
    return f"{corpus_prefix(corpus, schema)}quarantine/"


def quarantine_key(corpus: str, run: str, schema: int = 1) -> str:
    """What a run could not analyse."""
    return f"{quarantine_prefix(corpus, schema)}{_name('run', run)}.parquet"


def runs_prefix(corpus: str, schema: int = 1) -> str:
    """The ledger."""
    return f"{corpus_prefix(corpus, schema)}runs/"


def run_key(corpus: str, run: str, schema: int = 1) -> str:
    """One run's entry in the ledger."""
    return f"{runs_prefix(corpus, schema)}{_name('run', run)}.json"


def pending_notices_prefix(corpus: str, schema: int = 1) -> str:
    """What the webhook has still to be told."""
    return f"{corpus_prefix(corpus, schema)}notices/pending/"


def sent_notices_prefix(corpus: str, schema: int = 1) -> str:
    """What the webhook has been told."""
    return f"{corpus_prefix(corpus, schema)}notices/sent/"


def notice_key(prefix: str, notice: str) -> str:
    """One notice under one of these prefixes."""
    return f"{prefix}{_name('notice', notice)}.json"


def submissions_prefix(corpus: str, schema: int = 1) -> str:
    """Runs that were submitted to a cluster and have not ended."""
    return f"{corpus_prefix(corpus, schema)}submissions/"


def submission_key(corpus: str, run: str, schema: int = 1) -> str:
    """What a run was asked to do when it was submitted."""
    return f"{submissions_prefix(corpus, schema)}{_name('run', run)}.json"


def submitted_words_key(corpus: str, run: str, schema: int = 1) -> str:
    """The user dictionary that it was submitted with."""
    return f"{submissions_prefix(corpus, schema)}{_name('run', run)}.csv"


def checked_date(day: str) -> str:
    """The date itself if it is written ``YYYY-MM-DD``; else ConfigurationError."""
    if is_date(day):
        return day
    raise ConfigurationError(f"{day!r} is no date: write it as 2026-11-23")


def is_date(name: str) -> bool:
    """Whether it is a business date as it is written: ``YYYY-MM-DD``, and in the calendar."""
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def _name(what: str, name: str) -> str:
    # No "=" (readers would see a partition), no leading "." or "_" (pandas and Spark would skip the folder), no "/".
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot name a {what}: use ASCII letters and digits, and after the first also '.', '_' and '-'"
        )
    return name
