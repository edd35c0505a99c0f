"""Sources on a real S3 server."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from kizami.errors import DataError, UnavailableError
from kizami.sources import list_files, read_texts
from support.reading import blocks_of, digest_of, rows_of
from support.recipes import RECIPES, SCHEMA, compressed, write

if TYPE_CHECKING:
    from support.faulty_s3 import FaultyStore

pytestmark = pytest.mark.s3


def upload(url: str, name: str, body: bytes) -> str:
    """Put an object under the test's prefix; return its URL."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)
    return f"{url}/{name}"


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_a_file_on_s3_reads_as_on_the_disk(s3_url: str, tmp_path: Path, name: str) -> None:
    """The same rows and the same digest."""
    path = write(tmp_path / name, RECIPES, SCHEMA)
    url = upload(s3_url, name, path.read_bytes())
    assert rows_of(url) == rows_of(path)
    assert digest_of(blocks_of(url)) == digest_of(blocks_of(path))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", [0, 1, 2]),
        ("/", [0, 1, 2]),
        ("/レシピ/b c.jsonl", [2]),
        ("/2026-11-2?/*.jsonl", [0, 1]),
        ("/**/a.jsonl", [0, 1]),
        ("/レシピ", [2]),
    ],
)
def test_folders_and_globs_on_s3(s3_url: str, source: str, expected: list[int]) -> None:
    """Prefixes are folders, markers are skipped, spaces and Japanese keys are fine."""
    names = ["2026-11-22/a.jsonl", "2026-11-23/a.jsonl", "レシピ/b c.jsonl"]
    for name in [*names, "2026-11-23/_SUCCESS"]:
        upload(s3_url, name, b'{"id":"1","title":"x"}\n')
    files = list_files(s3_url + source)
    assert [file.url for file in files] == [f"{s3_url}/{names[index]}" for index in expected]
    assert {file.size_bytes for file in files} == {23}


def test_a_prefix_without_objects_is_unavailable(s3_url: str) -> None:
    """Neither file nor folder nor glob matches."""
    for source in (f"{s3_url}/none.jsonl", f"{s3_url}/none", f"{s3_url}/*.jsonl"):
        with pytest.raises(UnavailableError, match="no file matches"):
            list_files(source)


@pytest.mark.parametrize("key", ["a.jsonl", "", "*.jsonl"])
@pytest.mark.usefixtures("s3_url")
def test_a_bucket_that_does_not_exist_is_unavailable(key: str) -> None:
    """The message names the source."""
    with pytest.raises(UnavailableError, match="s3://kizami-no-such-bucket"):
        list_files(f"s3://kizami-no-such-bucket/{key}")


def test_wrong_credentials_are_unavailable(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And do not appear in the message."""
    url = upload(s3_url, "a.jsonl", b"{}\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(UnavailableError, match="cannot be listed") as raised:
        list_files(url)
    assert "wrong-secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.zst", "a.parquet"])
def test_an_object_that_vanished_can_be_tried_again(s3_url: str, tmp_path: Path, name: str) -> None:
    """It was listed, and is gone when it is read."""
    url = upload(s3_url, name, write(tmp_path / name, RECIPES, SCHEMA).read_bytes())
    [file] = list_files(url)
    bucket, _, key = url.removeprefix("s3://").partition("/")
    boto3.client("s3").delete_object(Bucket=bucket, Key=key)
    with pytest.raises(UnavailableError, match="is gone since it was listed"):
        list(read_texts(file, file_index=0, id_column="id", fields=["title"]))


def test_a_truncated_object_is_a_data_error(s3_url: str) -> None:
    """Reading it again would not help."""
    url = upload(s3_url, "a.jsonl.gz", compressed("a.gz", b'{"id":"1","title":"x"}\n')[:-5])
    with pytest.raises(DataError, match="truncated"):
        blocks_of(url, ["title"])


def test_a_server_that_went_away_is_unavailable(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens there any more."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="cannot be listed"):
        list_files(f"{s3_url}/a.jsonl")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.parquet"])
def test_a_connection_that_breaks_while_reading_is_unavailable(
    faulty_s3: FaultyStore, tmp_path: Path, name: str
) -> None:
    """A file that is read in part because S3 went away must not be mistaken for a truncated one."""
    records = [{"id": str(number), "title": random.Random(number).randbytes(8_000).hex()} for number in range(1_500)]
    url = upload(faulty_s3.url, name, write(tmp_path / name, records).read_bytes())
    [file] = list_files(url)
    blocks = read_texts(file, file_index=0, id_column="id", fields=["title"], block_bytes=1 << 20)
    assert next(blocks).documents
    faulty_s3.proxy.drop_request("GET", name, times=None)
    with pytest.raises(UnavailableError, match=f"{name} cannot be read"):
        list(blocks)


def test_a_short_fault_is_bridged(faulty_s3: FaultyStore) -> None:
    """S3 asks now and then to slow down; Arrow's client tries again."""
    url = upload(faulty_s3.url, "a.jsonl", b'{"id":"1","title":"x"}\n')
    faulty_s3.proxy.slow_down("GET|HEAD", "a.jsonl", times=2)
    assert [row.text for row in rows_of(url, ["title"])] == ["x"]
