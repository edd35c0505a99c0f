"""A store whose process dies at a request: before it reaches the store, or after it was carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from kizami.stores import ObjectInfo, ObjectStore, StoredObject, Versioning

Answer = TypeVar("Answer")


class KilledError(BaseException):
    """The process is no more; nothing it has may catch this and go on."""


class CrashingStore:
    """An ObjectStore over another one. The request number ``crash_at``, counted from 0, and all later ones fail."""

    def __init__(self, store: ObjectStore, crash_at: int, *, carried_out: bool) -> None:
        self._store = store
        self._crash_at = crash_at
        self._carried_out = carried_out
        self.requests = 0

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def crashed(self) -> bool:
        """Whether the request was reached."""
        return self.requests > self._crash_at

    def get(self, key: str) -> StoredObject:
        return self._ask(lambda: self._store.get(key))

    def download(self, key: str, path: Path) -> None:
        self._ask(lambda: self._store.download(key, path))

    def put(self, key: str, body: bytes) -> str:
        return self._ask(lambda: self._store.put(key, body))

    def create(self, key: str, body: bytes) -> str:
        return self._ask(lambda: self._store.create(key, body))

    def upload(self, key: str, path: Path) -> None:
        self._ask(lambda: self._store.upload(key, path))

    def replace(self, key: str, body: bytes, etag: str) -> str:
        return self._ask(lambda: self._store.replace(key, body, etag))

    def copy(self, source_key: str, key: str) -> None:
        self._ask(lambda: self._store.copy(source_key, key))

    def list(self, prefix: str) -> Iterable[ObjectInfo]:
        return self._ask(lambda: self._store.list(prefix))

    def delete(self, keys: Iterable[str]) -> None:
        """One request a key, as a store may carry out a part of a batch."""
        for key in keys:
            self._ask(lambda key=key: self._store.delete([key]))  # type: ignore[misc]  # bound at once

    def remove(self, key: str, etag: str) -> None:
        self._ask(lambda: self._store.remove(key, etag))

    def clear_leftovers(self) -> None:
        self._ask(self._store.clear_leftovers)

    def hurry(self) -> None:
        pass

    def versioning(self) -> Versioning:
        return self._ask(self._store.versioning)

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        number, self.requests = self.requests, self.requests + 1
        if number < self._crash_at:
            return request()
        if number == self._crash_at and self._carried_out:
            request()
        raise KilledError(number)


def killed(store: ObjectStore, action: Callable[[ObjectStore], object], crash_at: int, *, carried_out: bool) -> None:
    """Do something in a process that dies at a request."""
    crashing = CrashingStore(store, crash_at, carried_out=carried_out)
    with suppress(KilledError):
        action(crashing)
    assert crashing.crashed


def requests_of(store: ObjectStore, action: Callable[[ObjectStore], object]) -> int:
    """How many requests it takes where nothing goes wrong."""
    whole = CrashingStore(store, 1_000_000, carried_out=False)
    action(whole)
    return whole.requests
