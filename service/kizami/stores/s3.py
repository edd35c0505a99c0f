"""A store in an S3 bucket, on AWS or any server that honours ``If-Match`` and ``If-None-Match``.

Credentials, region and endpoint come from AWS's own chain (environment, profile, role; ``AWS_ENDPOINT_URL``).
"""

from __future__ import annotations

import itertools
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from kizami.errors import ConfigurationError, UnavailableError
from kizami.stores.base import (
    ConditionFailedError,
    ObjectInfo,
    ObjectMissingError,
    StoredObject,
    Versioning,
)
from kizami.stores.keys import checked_key
from kizami.stores.s3_errors import S3_ERRORS, explanation, is_conflict

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, ObjectIdentifierTypeDef, ResponseMetadataTypeDef

_DELETE_LIMIT: Final = 1000
"""Keys that S3 takes in one DeleteObjects."""
_BACKOFF_LIMIT_SECONDS: Final = 20.0

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class S3Patience:
    """How long to go on asking a store that does not answer."""

    attempts: int = 6
    """Requests before giving up. Between two, botocore waits a random part of 1, 2, 4, … 20 s: half a minute in all."""
    connect_seconds: float = 5.0
    read_seconds: float = 15.0
    """For small objects. Short: a holder has 60 s to beat, and a new connection often works where an old one hangs."""
    bulk_read_seconds: float = 60.0
    """For whole parts: S3 answers a copy of 1 GB only when it is done."""


_HURRIED: Final = S3Patience(attempts=2, connect_seconds=2.0, read_seconds=3.0, bulk_read_seconds=3.0)
"""Of a process that is to end."""
_HURRY_SECONDS: Final = 10.0
"""After so long it asks for nothing any more of a store that has not answered."""


class S3Store:
    """An :class:`~kizami.stores.base.ObjectStore` in a bucket. Safe to use from several threads."""

    def __init__(self, url: str, patience: S3Patience | None = None) -> None:
        self._url = url.rstrip("/")
        self._patience = patience or S3Patience()
        self._bucket, _, self._prefix = self._url.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(self._bucket):
            raise ConfigurationError(
                f"{url}: {self._bucket!r} cannot be a bucket's name: set `store` to s3://bucket/prefix"
            )
        if self._prefix:
            checked_key(self._prefix)
        self._clients: dict[bool, S3Client] = {}
        self._making = threading.Lock()
        self._ends: float | None = None
        self._was_silent = False

    def __reduce__(self) -> tuple[type[S3Store], tuple[str, S3Patience]]:
        return S3Store, (self._url, self._patience)

    def __repr__(self) -> str:
        return f"S3Store({self._url!r})"

    @property
    def url(self) -> str:
        """Root of the store as the caller wrote it, without a final ``/``."""
        return self._url

    def get(self, key: str) -> StoredObject:
        """Read a whole object. Raises ObjectMissingError."""

        def consume(answer: GetObjectOutputTypeDef) -> StoredObject:
            body = answer["Body"].read()
            return StoredObject(body, answer["ETag"], self._age(answer["ResponseMetadata"], answer["LastModified"]))

        return self._read(key, consume)

    def download(self, key: str, path: Path) -> None:
        """Write an object to a local file, in bounded memory. Raises ObjectMissingError."""

        def consume(answer: GetObjectOutputTypeDef) -> None:
            with path.open("wb") as file:
                for chunk in answer["Body"].iter_chunks(1 << 20):
                    file.write(chunk)

        self._read(key, consume, bulk=True)

    def put(self, key: str, body: bytes) -> str:
        """Write an object whatever stands there; return its etag."""
        with self._explained(key, writes=True):
            return self._client().put_object(Bucket=self._bucket, Key=self._full(key), Body=body)["ETag"]

    def create(self, key: str, body: bytes) -> str:
        """Write an object where none is; return its etag. Raises ConditionFailedError."""

        def write() -> str:
            answer = self._client().put_object(Bucket=self._bucket, Key=self._full(key), Body=body, IfNoneMatch="*")
            return answer["ETag"]

        return self._write_on_condition(key, write)

    def upload(self, key: str, path: Path) -> None:
        """Write a local file as an object where none is, in bounded memory. Raises ConditionFailedError."""

        def write() -> str:
            with path.open("rb") as file:
                answer = self._client(bulk=True).put_object(
                    Bucket=self._bucket, Key=self._full(key), Body=file, IfNoneMatch="*"
                )
            return answer["ETag"]

        self._write_on_condition(key, write)

    def replace(self, key: str, body: bytes, etag: str) -> str:
        """Write over the version ``etag``; return the new etag. Raises ConditionFailedError, also where none is."""

        def write() -> str:
            return self._client().put_object(Bucket=self._bucket, Key=self._full(key), Body=body, IfMatch=etag)["ETag"]

        try:
            return self._write_on_condition(key, write)
        except ObjectMissingError:  # AWS answers 404 to If-Match where nothing is
            raise ConditionFailedError(key) from None

    def copy(self, source_key: str, key: str) -> None:
        """Copy an object inside the store, its bytes not passing through this process. Raises ObjectMissingError."""
        source = self._full(source_key)
        with self._explained(source_key, writes=True):
            self._client(bulk=True).copy_object(
                Bucket=self._bucket, Key=self._full(key), CopySource={"Bucket": self._bucket, "Key": source}
            )

    def list(self, prefix: str) -> Iterable[ObjectInfo]:
        """All objects whose key starts with ``prefix``, in key order, complete at the moment of the call."""
        root = f"{self._prefix}/" if self._prefix else ""
        with self._explained(prefix, writes=False):
            pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=root + prefix)
            found = [
                ObjectInfo(
                    item["Key"].removeprefix(root),
                    item["Size"],
                    self._age(page["ResponseMetadata"], item["LastModified"]),
                )
                for page in pages
                for item in page.get("Contents", [])
            ]
        # Sorted here: not every server lists in the order of bytes (SeaweedFS sorts folder by folder).
        return sorted(found, key=lambda info: info.key)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, up to 1,000 in a request; a key that is not there is no error."""
        remaining = iter(keys)
        while batch := list(itertools.islice(remaining, _DELETE_LIMIT)):
            identifiers: list[ObjectIdentifierTypeDef] = [{"Key": self._full(key)} for key in batch]
            with self._explained(batch[0], writes=True):
                answer = self._client().delete_objects(
                    Bucket=self._bucket, Delete={"Objects": identifiers, "Quiet": True}
                )
            for refused in answer.get("Errors", []):
                raise UnavailableError(
                    f"{self._url}: the store did not delete {refused.get('Key')} ({refused.get('Code')}): "
                    "see to the right s3:DeleteObject, then try again"
                )

    def remove(self, key: str, etag: str) -> None:
        """Remove the version ``etag`` of an object. Raises ConditionFailedError, also where none is.

        A server that does not know the condition removes whatever stands there: compare first, then remove at once.
        """

        def write() -> None:
            self._client().delete_object(Bucket=self._bucket, Key=self._full(key), IfMatch=etag)

        try:
            self._write_on_condition(key, write)
        except ObjectMissingError:
            raise ConditionFailedError(key) from None

    def clear_leftovers(self) -> None:
        """There are none: every object is written by one request, whole or not at all."""

    def hurry(self) -> None:
        """From now on give up soon, and after 10 s at once where it has not answered: the process is to end."""
        with self._making:
            if self._ends is None:
                self._ends = time.monotonic() + _HURRY_SECONDS
                self._was_silent = False
                self._patience = _HURRIED
                self._clients = {}

    def versioning(self) -> Versioning:
        """What the bucket says; UNKNOWN where the server has no such thing or the credentials may not ask."""
        try:
            status = self._client().get_bucket_versioning(Bucket=self._bucket).get("Status")
        except S3_ERRORS:
            return Versioning.UNKNOWN
        return {"Enabled": Versioning.ENABLED, "Suspended": Versioning.SUSPENDED}.get(status or "", Versioning.OFF)

    def _age(self, answer: ResponseMetadataTypeDef, written: datetime) -> float:
        date = answer["HTTPHeaders"].get("date")
        if date is None:
            raise UnavailableError(f"{self._url}: the store sends no Date header: use a server that does")
        return max(0.0, (parsedate_to_datetime(date) - written).total_seconds())

    def _full(self, key: str) -> str:
        checked_key(key)
        return f"{self._prefix}/{key}" if self._prefix else key

    def _client(self, *, bulk: bool = False) -> S3Client:
        if self._ends is not None and self._was_silent and time.monotonic() > self._ends:
            raise UnavailableError(f"{self._url}: given up, because the process is to end")
        with self._making:  # boto3's clients are safe between threads, the making of them is not
            if bulk not in self._clients:
                patience = self._patience
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": patience.attempts},
                    connect_timeout=patience.connect_seconds,
                    read_timeout=patience.bulk_read_seconds if bulk else patience.read_seconds,
                    max_pool_connections=32,
                    tcp_keepalive=True,
                    user_agent_extra="kizami",
                )
                self._clients[bulk] = boto3.session.Session().client("s3", config=config)
            return self._clients[bulk]

    @contextmanager
    def _explained(self, key: str, *, writes: bool) -> Iterator[None]:
        try:
            yield
        except S3_ERRORS as error:
            raise self._explanation(error, key, writes=writes) from error

    def _explanation(self, error: Exception, key: str, *, writes: bool) -> Exception:
        client = self._clients.get(False) or self._clients.get(True)
        endpoint = client.meta.endpoint_url if client else "S3"
        found = explanation(error, url=self._url, endpoint=endpoint, key=key, writes=writes)
        self._was_silent |= isinstance(found, UnavailableError)
        return found

    def _read(self, key: str, consume: Callable[[GetObjectOutputTypeDef], Answer], *, bulk: bool = False) -> Answer:
        """Get and consume; anew if the connection breaks within the body, where botocore's own retries have ended."""
        for attempt in itertools.count(1):
            with self._explained(key, writes=False):
                answer = self._client(bulk=bulk).get_object(Bucket=self._bucket, Key=self._full(key))
            try:
                with closing(answer["Body"]):
                    return consume(answer)
            except BotoCoreError as error:
                if attempt >= self._patience.attempts:
                    raise self._explanation(error, key, writes=False) from error
                _back_off(attempt)
        raise AssertionError("unreachable")

    def _write_on_condition(self, key: str, write: Callable[[], Answer]) -> Answer:
        """Write, once more after a 409: two conditional writes met in the server and neither condition was tested."""
        for attempt in itertools.count(1):
            try:
                return write()
            except S3_ERRORS as error:
                if not is_conflict(error) or attempt >= self._patience.attempts:
                    raise self._explanation(error, key, writes=True) from error
                _back_off(attempt)
        raise AssertionError("unreachable")


def _back_off(attempt: int) -> None:
    time.sleep(random.random() * min(_BACKOFF_LIMIT_SECONDS, 0.1 * 2**attempt))
