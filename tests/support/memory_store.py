"""A store in memory with a clock of its own; its etags are hashes of the content, as S3's are."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from kizami.stores.base import ConditionFailedError, ObjectInfo, ObjectMissingError, StoredObject, Versioning
from kizami.stores.keys import checked_key


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class MemoryStore:
    """An ObjectStore whose objects are values of a dict: key to (body, time of writing)."""

    url = "memory"

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self._clock = clock
        self._mutex = threading.Lock()

    def get(self, key: str) -> StoredObject:
        with self._mutex:
            if checked_key(key) not in self.objects:
                raise ObjectMissingError(key)
            body, written = self.objects[key]
            return StoredObject(body, _etag(body), self._clock() - written)

    def download(self, key: str, path: Path) -> None:
        path.write_bytes(self.get(key).body)

    def put(self, key: str, body: bytes) -> str:
        with self._mutex:
            return self._write(key, body)

    def create(self, key: str, body: bytes) -> str:
        with self._mutex:
            if key in self.objects:
                raise ConditionFailedError(key)
            return self._write(key, body)

    def upload(self, key: str, path: Path) -> None:
        self.create(key, path.read_bytes())

    def replace(self, key: str, body: bytes, etag: str) -> str:
        with self._mutex:
            if key not in self.objects or _etag(self.objects[key][0]) != etag:
                raise ConditionFailedError(key)
            return self._write(key, body)

    def copy(self, source_key: str, key: str) -> None:
        self.put(key, self.get(source_key).body)

    def list(self, prefix: str) -> Iterable[ObjectInfo]:
        with self._mutex:
            now = self._clock()
            return [
                ObjectInfo(key, len(body), now - written)
                for key, (body, written) in sorted(self.objects.items())
                if key.startswith(prefix)
            ]

    def delete(self, keys: Iterable[str]) -> None:
        with self._mutex:
            for key in keys:
                self.objects.pop(key, None)

    def remove(self, key: str, etag: str) -> None:
        with self._mutex:
            if key not in self.objects or _etag(self.objects[key][0]) != etag:
                raise ConditionFailedError(key)
            del self.objects[key]

    def clear_leftovers(self) -> None:
        pass

    def hurry(self) -> None:
        pass

    def versioning(self) -> Versioning:
        return Versioning.OFF

    def _write(self, key: str, body: bytes) -> str:
        self.objects[checked_key(key)] = (body, self._clock())
        return _etag(body)


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
