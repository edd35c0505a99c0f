"""What Kizami asks of an object store: whole objects, and writes that happen only under a condition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from kizami.errors import UnavailableError


class ObjectMissingError(Exception):
    """There is no object under this key."""


class ConditionFailedError(Exception):
    """A conditional write found another state than it asked for (HTTP 412).

    After a lost answer the state found may be one's own write: read the object back before concluding anything.
    """


class OutcomeUnknownError(UnavailableError):
    """A write was sent and no answer came back, retries included: it may have happened, may happen yet, or never will.

    Read the object back, and write again only under the condition that nothing changed.
    """


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as it was read."""

    body: bytes
    etag: str
    """Opaque version of the object: what ``replace`` compares."""
    age_seconds: float
    """Seconds since it was last written, the store's clock against the store's clock; never negative.

    To the second on S3, and then up to one second off. A copy in a local folder has the age of its source.
    """


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One line of a listing."""

    key: str
    size_bytes: int
    age_seconds: float = field(compare=False)
    """As that of a StoredObject; two lines of different moments are equal all the same."""


class Versioning(StrEnum):
    """Whether a store keeps what was overwritten or deleted."""

    OFF = "off"
    """It does not, and never did."""
    ENABLED = "enabled"
    SUSPENDED = "suspended"
    """Not any more; what it kept before is still there."""
    UNKNOWN = "unknown"
    """The store does not tell, or not to these credentials."""


class ObjectStore(Protocol):
    """A bucket's prefix or a folder. Keys are relative to it, with ``/`` between segments.

    No reader ever observes a partially written object. Every method raises
    :class:`~kizami.errors.UnavailableError` when the store stays away after retries; those that write raise its child
    :class:`OutcomeUnknownError` when the write may have happened all the same. A key that is empty, leaves the root or
    has empty segments raises :class:`~kizami.errors.ConfigurationError`.

    Stores may be used from several threads at once and pickled; an unpickled one finds its credentials anew.
    """

    @property
    def url(self) -> str:
        """Root of the store as the caller wrote it, without a final ``/``."""

    def get(self, key: str) -> StoredObject:
        """Read a whole object. Raises ObjectMissingError."""

    def download(self, key: str, path: Path) -> None:
        """Write an object to a local file, in bounded memory. Raises ObjectMissingError."""

    def put(self, key: str, body: bytes) -> str:
        """Write an object whatever stands there; return its etag."""

    def create(self, key: str, body: bytes) -> str:
        """Write an object where none is; return its etag. Raises ConditionFailedError."""

    def upload(self, key: str, path: Path) -> None:
        """Make a local file an object where none is, in bounded memory. Raises ConditionFailedError.

        From then on the file may be removed, but not written to: it may be the object.
        """

    def replace(self, key: str, body: bytes, etag: str) -> str:
        """Write over the version ``etag``; return the new etag. Raises ConditionFailedError, also where none is."""

    def copy(self, source_key: str, key: str) -> None:
        """Copy an object inside the store, its bytes not passing through this process. Raises ObjectMissingError."""

    def list(self, prefix: str) -> Iterable[ObjectInfo]:
        """All objects whose key starts with ``prefix``, in key order, complete at the moment of the call."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects in as few requests as the store allows; a key that is not there is no error."""

    def remove(self, key: str, etag: str) -> None:
        """Remove the version ``etag`` of an object. Raises ConditionFailedError, also where none is."""

    def clear_leftovers(self) -> None:
        """Remove what writers that were killed left behind and no key names; living writers notice nothing."""

    def hurry(self) -> None:
        """From now on give up soon: the process is to end."""

    def versioning(self) -> Versioning:
        """Whether what was overwritten or deleted is still there for those who may read old versions."""
