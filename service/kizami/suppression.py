"""The suppression list of a corpus: documents that no run takes in any more. It names them by a keyed hash only."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from kizami import json_form, layout
from kizami.errors import UnavailableError
from kizami.stores import ConditionFailedError, ObjectMissingError, ObjectStore, OutcomeUnknownError

_KEY_BYTES: Final = 32
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Suppression:
    """``suppressed.json``. Who reads it can try an id, but not list those that were forgotten."""

    key: str = ""
    """Of the hashes: 64 hex digits, random, made with the first of them. Empty while there are none."""
    digests: tuple[str, ...] = ()
    """HMAC-SHA256 of each doc_id's UTF-8 under the key, 64 hex digits; ascending."""

    def __post_init__(self) -> None:
        if len(bytes.fromhex(self.key)) != (_KEY_BYTES if self.key or self.digests else 0):
            raise ValueError(f"a key of {len(self.key)} hex digits is none")

    def __len__(self) -> int:
        return len(self.digests)

    def with_ids(self, ids: Collection[str]) -> Suppression:
        """The list with these documents on it, too."""
        keyed = self if self.key or not ids else replace(self, key=secrets.token_hex(_KEY_BYTES))
        return replace(keyed, digests=tuple(sorted({*self.digests, *(keyed._digest(each.encode()) for each in ids)})))

    def holds(self, doc_id: str) -> bool:
        """Whether a document is on the list."""
        return bool(self.digests) and self._digest(doc_id.encode()) in self.digests

    def among(self, doc_ids: pa.StringArray) -> pa.StringArray:
        """The distinct ids of ``doc_ids`` that are on the list; nulls are not."""
        if not self.digests:
            return pa.array([], pa.string())
        distinct = doc_ids.drop_null().unique()
        listed = frozenset(self.digests)
        return distinct.filter(
            pa.array([self._digest(each) in listed for each in distinct.cast(pa.binary()).to_pylist()], pa.bool_())
        )

    def _digest(self, doc_id: bytes) -> str:
        return hmac.digest(bytes.fromhex(self.key), doc_id, "sha256").hex()


NOBODY: Final = Suppression()


def read_suppression(store: ObjectStore, corpus: str) -> Suppression:
    """The list of a corpus, empty where there is none. Raises DataError where it is damaged: nothing may go on then."""
    return _read(store, corpus)[0]


def suppress(store: ObjectStore, corpus: str, ids: Collection[str]) -> int:
    """Put documents on the list, by compare-and-swap; the number of those that were not on it. Raises UnavailableError,
    DataError."""
    key = layout.suppression_key(corpus)
    before: Suppression | None = None
    doubt: Exception | None = None
    for _ in range(_ATTEMPTS):
        found, etag = _read(store, corpus)
        before = found if before is None else before
        wanted = found.with_ids(ids)
        if wanted == found:  # also our own write, whose answer was lost
            return len(found) - len(before)
        try:
            if etag is None:
                store.create(key, json_form.encode(wanted))
            else:
                store.replace(key, json_form.encode(wanted), etag)
        except (ConditionFailedError, OutcomeUnknownError) as error:
            doubt = error
        else:
            return len(wanted) - len(before)
    raise UnavailableError(f"{key} can be read but not written: see to the store, then try again") from doubt


def _read(store: ObjectStore, corpus: str) -> tuple[Suppression, str | None]:
    key = layout.suppression_key(corpus)
    try:
        stored = store.get(key)
    except ObjectMissingError:
        return NOBODY, None
    return json_form.decode(Suppression, stored.body, key), stored.etag
