"""What is particular to a folder."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from kizami.errors import ConfigurationError, UnavailableError
from kizami.stores import ConditionFailedError, OutcomeUnknownError, durable, open_store
from kizami.stores.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(str(tmp_path / "store"))


def test_a_copy_is_a_hard_link(store: LocalStore, tmp_path: Path) -> None:
    """Taking over an unchanged part costs no disk space."""
    store.put("a/part", b"1")
    store.copy("a/part", "b/part")
    assert (tmp_path / "store/a/part").samefile(tmp_path / "store/b/part")


def test_a_copy_works_without_hard_links(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no links the bytes are copied."""

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    store.put("a/part", b"1")
    monkeypatch.setattr(os, "link", no_links)
    store.copy("a/part", "b/part")
    assert store.get("b/part").body == b"1"


def test_an_uploaded_file_is_a_hard_link(store: LocalStore, tmp_path: Path) -> None:
    """A finished part is not written twice."""
    (tmp_path / "part").write_bytes(b"1")
    store.upload("a/part", tmp_path / "part")
    assert (tmp_path / "store/a/part").samefile(tmp_path / "part")


def test_a_file_of_another_device_is_copied(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is never written over another object either."""
    link = os.link

    def links_in_the_store(source: Path, path: Path) -> None:
        if source == tmp_path / "part":
            raise OSError(errno.EXDEV, "another device")
        link(source, path)

    (tmp_path / "part").write_bytes(b"1")
    monkeypatch.setattr(os, "link", links_in_the_store)
    store.upload("a/part", tmp_path / "part")
    assert not (tmp_path / "store/a/part").samefile(tmp_path / "part")
    assert store.get("a/part").body == b"1"
    with pytest.raises(ConditionFailedError):
        store.upload("a/part", tmp_path / "part")


def test_a_file_with_other_access_is_copied(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folder hands down an ACL, say, readers are not to lose the new parts."""
    path = tmp_path / "part"
    path.write_bytes(b"1")
    store.put("a/other", b"2")
    handed_down = {tmp_path / "store/a": ["system.posix_acl_default"]}
    monkeypatch.setattr(os, "listxattr", lambda path: handed_down.get(path, []))
    monkeypatch.setattr(os, "getxattr", lambda path, name: b"of " + name.encode())
    store.upload("a/part", path)
    assert not (tmp_path / "store/a/part").samefile(path)


@pytest.mark.parametrize("is_another", [False, True])
def test_a_file_has_the_group_that_the_folder_hands_down(is_another: bool, store: LocalStore, tmp_path: Path) -> None:
    """By a copy where it has another one."""
    root = tmp_path / "store"
    root.mkdir()
    os.chown(root, -1, _another_group() if is_another else os.getegid())
    root.chmod(0o2755)
    path = tmp_path / "part"
    path.write_bytes(b"1")
    store.upload("a/part", path)
    assert (root / "a/part").samefile(path) == (not is_another)
    assert (root / "a/part").stat().st_gid == root.stat().st_gid


def _another_group() -> int:
    """One of this process's own, but not the first."""
    if os.geteuid() == 0:
        return os.getegid() + 1
    others = [group for group in os.getgroups() if group != os.getegid()]
    return others[0] if others else pytest.skip("needs a user with two groups")


def test_a_folder_that_cannot_be_made_is_no_object(store: LocalStore, tmp_path: Path) -> None:
    """A link to what is not mounted, say, is not taken for another's object: who was told so would go on for ever."""
    store.put("k", b"1")
    (tmp_path / "store/staging").symlink_to(tmp_path / "away")
    (tmp_path / "part").write_bytes(b"1")
    for write in (lambda: store.upload("staging/part", tmp_path / "part"), lambda: store.create("staging/part", b"1")):
        with pytest.raises(UnavailableError, match="staging"):
            write()


def test_an_object_comes_back_over_the_file_it_is(store: LocalStore, tmp_path: Path) -> None:
    """As when the answer to an upload was lost."""
    (tmp_path / "part").write_bytes(b"1")
    store.upload("a/part", tmp_path / "part")
    store.download("a/part", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == store.get("a/part").body == b"1"


def test_nothing_is_left_behind(store: LocalStore, tmp_path: Path) -> None:
    """Neither success nor failure leaves a stray file anywhere."""
    store.put("a/part", b"1")
    store.copy("a/part", "b/part")
    store.copy("a/part", "b/part")
    store.get("a/part")
    with pytest.raises(UnavailableError):
        store.upload("c/part", tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        store._temporary(tmp_path / "none").__enter__()
    assert [path.name for path in (tmp_path / "store/.tmp").iterdir()] == ["lock"]
    store.delete(["a/part", "b/part"])
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [".tmp"]


def test_leftovers_of_killed_writers_are_swept(store: LocalStore, tmp_path: Path) -> None:
    """A day later the next writer removes them; younger ones may be in use."""
    store.put("k", b"1")
    old, young = tmp_path / "store/.tmp/old", tmp_path / "store/.tmp/young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    LocalStore(str(tmp_path / "store")).put("k", b"2")
    assert (old.exists(), young.exists()) == (False, True)


def test_leftovers_are_cleared_at_once_when_asked_for(store: LocalStore, tmp_path: Path) -> None:
    """What a killed writer left goes however young it is, and a link that one left; a writer that lives goes on."""
    store.put("k", b"1")
    folder = tmp_path / "store/.tmp"
    (folder / "half").write_bytes(b"half")
    os.link(tmp_path / "store/k", folder / "link")
    with store._temporary(b"whole") as living:
        LocalStore(str(tmp_path / "store")).clear_leftovers()
        assert sorted(path.name for path in folder.iterdir()) == sorted(["lock", living.name])
        assert living.read_bytes() == b"whole"
    assert store.get("k").body == b"1"


def test_age_is_the_file_systems(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's clock plays no part."""
    store.put("k", b"1")
    os.utime(tmp_path / "store/k", (time.time() - 100,) * 2)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 99 < store.get("k").age_seconds < 110


def test_files_are_readable_as_the_umask_says(store: LocalStore, tmp_path: Path) -> None:
    """Readers are other people: a published file is not its writer's alone."""
    before = os.umask(0o022)
    try:
        store.put("k", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "store/k").stat().st_mode & 0o777 == 0o644


def test_a_missing_mount_is_no_empty_store(tmp_path: Path) -> None:
    """The root is made at the first write, but not the folder that it should lie in."""
    store = LocalStore(str(tmp_path / "mount/share/store"))
    for operation in (lambda: store.put("k", b"1"), lambda: store.get("k"), lambda: list(store.list(""))):
        with pytest.raises(UnavailableError, match=r"mount/share: .*mount or create the folder"):
            operation()
    assert not (tmp_path / "mount").exists()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "mount it writable"), (errno.EACCES, "give this user the right")],
)
def test_errors_of_the_system_name_path_and_remedy(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    """A full or read-only disk is one line with what to do, and nothing is published."""

    def fails(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    store.put("k", b"1")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(UnavailableError, match=remedy) as caught:
        store.put("k", b"2")
    assert str(tmp_path / "store/k") in str(caught.value)
    assert store.get("k").body == b"1"


def test_a_write_whose_folder_cannot_be_flushed_is_in_doubt(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the rename the write is there, but a power cut may undo it."""
    store.put("a/k", b"1")
    flush = durable.flush

    def fails(path: Path) -> None:
        if path.is_dir():
            raise OSError(errno.EIO, "broken")
        flush(path)

    monkeypatch.setattr(durable, "flush", fails)
    with pytest.raises(OutcomeUnknownError):
        store.put("a/k", b"2")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gs://bucket/x",
        "s3://",
        "s3://B_d/x",
        "s3://bucket//x",
        "s3://key:hidden@bucket/x",
        "s3://bucket/date=2026/x",
        "s3://bucket/my tokens",
        "s3://bucket/a%20b",
        "s3://bucket/刻み",
        "s3://bucket/a#b",
        "s3://bucket/a*",
        "./a=b/store",
        "file:///tmp/x",
    ],
)
def test_urls_that_cannot_be_a_store_are_refused(url: str) -> None:
    """Other schemes, credentials and what readers would not find are errors of the configuration, and no secret is
    repeated."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://my.bucket-1/a_b/v1.0+x~y&z/", "./刻み ストア/a%20b#c"])
def test_what_readers_find_is_a_store(url: str) -> None:
    """On S3 whatever needs no escape; in a folder whatever the file system takes."""
    assert open_store(url).url == url.rstrip("/")


def test_a_store_keeps_its_url_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers join paths to what they wrote; the folder stays the same when the working directory changes."""
    monkeypatch.chdir(tmp_path)
    store = open_store("store/")
    store.put("k", b"1")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (store.url, store.get("k").body) == ("store", b"1")
