"""What every store does, in memory, in a folder and on a real S3 server."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from kizami.errors import ConfigurationError
from kizami.stores import ConditionFailedError, ObjectInfo, ObjectMissingError, ObjectStore


def test_reads_back_what_was_put(store: ObjectStore) -> None:
    """An object is read as it was written, with the etag of that write."""
    etag = store.put("v1/料理/a b+c%.json", "寿司".encode())
    found = store.get("v1/料理/a b+c%.json")
    assert (found.body, found.etag) == ("寿司".encode(), etag)
    assert 0 <= found.age_seconds < 5


def test_reads_empty_objects(store: ObjectStore) -> None:
    """No bytes are an object too."""
    store.put("empty", b"")
    assert store.get("empty").body == b""


def test_a_missing_object_is_missing(store: ObjectStore, tmp_path: Path) -> None:
    """Reading what is not there says so."""
    store.put("a/b", b"1")
    for read in (
        lambda: store.get("a/c"),
        lambda: store.get("a"),
        lambda: store.get("a/b/c"),
        lambda: store.download("a/c", tmp_path / "c"),
        lambda: store.copy("a/c", "a/d"),
    ):
        with pytest.raises(ObjectMissingError):
            read()


def test_put_overwrites(store: ObjectStore) -> None:
    """The last put is what readers see."""
    first = store.put("k", b"1")
    second = store.put("k", b"2")
    assert first != second
    assert store.get("k").body == b"2"


def test_create_only_where_nothing_is(store: ObjectStore) -> None:
    """The second create fails and changes nothing."""
    etag = store.create("a/k", b"1")
    with pytest.raises(ConditionFailedError):
        store.create("a/k", b"2")
    found = store.get("a/k")
    assert (found.body, found.etag) == (b"1", etag)


def test_upload_streams_a_file(store: ObjectStore, tmp_path: Path) -> None:
    """A file is stored whole and comes back whole by download, also when it is removed; it is never written over
    another object, and what comes back is no more than a copy."""
    body = bytes(range(256)) * 20_000
    (tmp_path / "part").write_bytes(body)
    store.upload("p/part", tmp_path / "part")
    store.download("p/part", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == body
    with pytest.raises(ConditionFailedError):
        store.upload("p/part", tmp_path / "part")
    (tmp_path / "part").unlink()
    (tmp_path / "back").write_bytes(b"something else")
    assert store.get("p/part").body == body


def test_replace_only_the_version_named(store: ObjectStore) -> None:
    """A replace with an old etag fails and changes nothing."""
    first = store.create("k", b"1")
    second = store.replace("k", b"2", first)
    with pytest.raises(ConditionFailedError):
        store.replace("k", b"3", first)
    assert store.get("k").etag == second
    assert store.get("k").body == b"2"


def test_replace_of_nothing_fails(store: ObjectStore) -> None:
    """Where no object is, no version matches."""
    etag = store.create("k", b"1")
    store.delete(["k"])
    with pytest.raises(ConditionFailedError):
        store.replace("k", b"2", etag)


@pytest.mark.parametrize("kind", ["create", "replace"])
def test_of_sixteen_racing_writers_exactly_one_wins(store: ObjectStore, kind: str) -> None:
    """Conditional writes decide between rivals, and the winner's bytes stand."""
    rivals = 16
    etag = store.create("race/replace", b"start")
    barrier = Barrier(rivals)

    def write(number: int) -> int | None:
        barrier.wait()
        try:
            if kind == "create":
                store.create("race/create", str(number).encode())
            else:
                store.replace("race/replace", str(number).encode(), etag)
        except ConditionFailedError:
            return None
        return number

    with ThreadPoolExecutor(rivals) as pool:
        winners = [number for number in pool.map(write, range(rivals)) if number is not None]
    assert len(winners) == 1
    assert store.get(f"race/{kind}").body == str(winners[0]).encode()


def test_copies(store: ObjectStore) -> None:
    """A copy has the bytes of its source, may overwrite, and outlives the source."""
    store.put("staging/k", b"part")
    store.put("snapshots/s/part", b"old")
    store.copy("staging/k", "snapshots/s/part")
    store.copy("staging/k", "snapshots/s/part")
    store.put("staging/k", b"changed")
    store.delete(["staging/k"])
    assert store.get("snapshots/s/part").body == b"part"


def test_lists_in_key_order(store: ObjectStore) -> None:
    """A listing has every key with the prefix, a prefix being any string, in the order of bytes, and nothing else."""
    for key in ("a/z", "a/b/c", "a b/x", "a/é", "a/b.json", "ab", "b/1"):
        store.put(key, key.encode())
    assert [info.key for info in store.list("a")] == ["a b/x", "a/b.json", "a/b/c", "a/z", "a/é", "ab"]
    assert list(store.list("a/b")) == [ObjectInfo("a/b.json", 8, 0.0), ObjectInfo("a/b/c", 5, 0.0)]
    assert [info.key for info in store.list("a/b/")] == ["a/b/c"]
    assert list(store.list("nothing/here")) == []
    assert len(list(store.list(""))) == 7


def test_deletes_many_and_what_is_not_there(store: ObjectStore) -> None:
    """Deleting is no error where nothing is, and a folder left empty is no object."""
    for number in range(5):
        store.put(f"d/{number}", b"1")
    store.delete(f"d/{number}" for number in range(1_200))
    store.delete(["never/there"])
    assert list(store.list("")) == []
    store.create("d/1", b"again")


def test_a_listing_tells_ages(store: ObjectStore) -> None:
    """An object's age in a listing is that by the store's clock, as it is when the object is read."""
    store.put("a", b"1")
    (info,) = store.list("")
    assert 0 <= info.age_seconds < 5
    assert abs(info.age_seconds - store.get("a").age_seconds) < 3


def test_removes_only_the_version_named(store: ObjectStore) -> None:
    """A removal with an old etag, or of what is not there, fails and changes nothing."""
    first = store.create("a/k", b"1")
    second = store.replace("a/k", b"2", first)
    with pytest.raises(ConditionFailedError):
        store.remove("a/k", first)
    assert store.get("a/k").body == b"2"
    store.remove("a/k", second)
    assert list(store.list("")) == []
    for key in ("a/k", "a", "never/there"):
        with pytest.raises(ConditionFailedError):
            store.remove(key, second)


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../../b", "./a", "a\0b", ".tmp/x"])
def test_refuses_keys_that_leave_the_root(store: ObjectStore, key: str) -> None:
    """A key is plain names; anything else touches nothing."""
    operations: list[Callable[[], object]] = [
        lambda: store.get(key),
        lambda: store.put(key, b""),
        lambda: store.create(key, b""),
    ]
    for operation in operations:
        with pytest.raises(ConfigurationError):
            operation()


@pytest.mark.parametrize("store", ["local", pytest.param("s3", marks=pytest.mark.s3)], indirect=True)
def test_a_pickled_store_is_the_same_store(store: ObjectStore) -> None:
    """A Ray worker gets the store as an argument and finds the same objects."""
    store.put("k", b"1")
    twin = pickle.loads(pickle.dumps(store))
    assert twin.url == store.url
    assert twin.get("k").body == b"1"
