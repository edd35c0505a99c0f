"""A conversation with a store, without the store: a generator that yields requests and is sent the answers.

The answer to ``Get`` is a StoredObject, to ``ListKeys`` the keys, to ``Create`` and ``Replace`` the new etag, to
``Remove`` and ``Wait`` None; an error of the store is thrown in instead. So :func:`perform` runs a conversation against
a real store, and a test can put a crash, a rival or a lost answer between any two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from kizami.errors import KizamiError
from kizami.stores.base import ConditionFailedError, ObjectMissingError, ObjectStore, StoredObject


@dataclass(frozen=True, slots=True)
class Get:
    """Read an object."""

    key: str


@dataclass(frozen=True, slots=True)
class ListKeys:
    """All keys that start with a prefix."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Create:
    """Write an object where none is."""

    key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Replace:
    """Write an object over the version ``etag``."""

    key: str
    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the version ``etag`` of an object."""

    key: str
    etag: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass."""

    seconds: float


Operation = Get | ListKeys | Create | Replace | Remove | Wait
Writing = Create | Replace | Remove
Result = TypeVar("Result")
Steps = Generator[Operation, Any, Result]


def perform(
    steps: Steps[Result],
    store: ObjectStore,
    sleep: Callable[[float], None],
    before: Callable[[Operation], None] = lambda _: None,
) -> Result:
    """Run a conversation against a store; ``before`` is told of each operation before it is sent."""
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            operation = steps.throw(error) if error else steps.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result
        answer, error = None, None
        before(operation)
        try:
            answer = execute(operation, store, sleep)
        except (ObjectMissingError, ConditionFailedError, KizamiError) as problem:
            error = problem


def execute(
    operation: Operation, store: ObjectStore, sleep: Callable[[float], None]
) -> StoredObject | list[str] | str | None:
    """One step of a conversation."""
    match operation:
        case Get(key):
            return store.get(key)
        case ListKeys(prefix):
            return [info.key for info in store.list(prefix)]
        case Create(key, body):
            return store.create(key, body)
        case Replace(key, body, etag):
            return store.replace(key, body, etag)
        case Remove(key, etag):
            store.remove(key, etag)
        case Wait(seconds):
            sleep(seconds)
    return None
