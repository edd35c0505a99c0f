"""What a source names: files, folders and globs on the local disk."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.fs
import pytest

from kizami.errors import ConfigurationError, DataError, UnavailableError
from kizami.sources import SourceFile, list_files
from kizami.sources.files import _expand, _files_under

TREE = [
    "料理/2026-11-22/a.jsonl",
    "料理/2026-11-23/b c.jsonl.gz",
    "料理/2026-11-23/deep/c.parquet",
    "料理/2026-11-23/_SUCCESS",
    "料理/2026-11-23/.part.crc",
    "料理/_temporary/0.jsonl",
    "料理/top.csv.zst",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of dumps, as Spark leaves it."""
    for name in TREE:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("料理", [0, 1, 2, 6]),
        ("料理/", [0, 1, 2, 6]),
        ("料理/2026-11-22/a.jsonl", [0]),
        ("料理/*", [0, 1, 2, 6]),
        ("料理/*.csv.zst", [6]),
        ("料理/*/*.jsonl*", [0, 1]),
        ("料理/2026-11-2?/a.*", [0]),
        ("料理/2026-11-2[13]", [1, 2]),
        ("料理/2026-11-2[!3]/*", [0]),
        ("料理/**", [0, 1, 2, 6]),
        ("**/*.parquet", [2]),
        ("料理/**/**/b*", [1]),
        ("料理/**/deep/*", [2]),
        ("料理/_temporary/*", [5]),
        ("料理/_*/*.jsonl", [5]),
    ],
)
def test_a_source_names_its_files(tree: Path, source: str, expected: list[int]) -> None:
    """Folders are read to the bottom, globs name by name; markers and hidden files are not data."""
    assert [file.url for file in list_files(f"{tree}/{source}")] == [f"{tree}/{TREE[index]}" for index in expected]


@pytest.mark.parametrize(
    ("name", "file_format", "compression"),
    [
        ("a.parquet", "parquet", None),
        ("a.jsonl", "jsonl", None),
        ("a.JSONL.GZ", "jsonl", "gzip"),
        ("a.jsonl.zst", "jsonl", "zstd"),
        ("a.ndjson", "jsonl", None),
        ("a.ndjson.gz", "jsonl", "gzip"),
        ("a.ndjson.zst", "jsonl", "zstd"),
        ("a.csv", "csv", None),
        ("a.csv.gz", "csv", "gzip"),
        ("a.csv.zst", "csv", "zstd"),
    ],
)
def test_the_extension_says_the_format(tmp_path: Path, name: str, file_format: str, compression: str | None) -> None:
    """Format, compression and size come with the listing."""
    (tmp_path / name).write_bytes(b"123")
    [file] = list_files(str(tmp_path))
    assert (file.format, file.compression, file.size_bytes) == (file_format, compression, 3)


def test_a_relative_path_becomes_absolute(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker elsewhere has another working directory."""
    monkeypatch.chdir(tree / "料理")
    modified_ns = (tree / TREE[0]).stat().st_mtime_ns
    assert list_files("2026-11-22/*.jsonl") == (SourceFile(f"{tree}/{TREE[0]}", "jsonl", None, 1, modified_ns),)


def test_a_file_of_exactly_this_name_wins_over_a_glob(tmp_path: Path) -> None:
    """Brackets in a name are fine."""
    for name in ("a[1].jsonl", "a1.jsonl"):
        (tmp_path / name).touch()
    assert [file.url for file in list_files(f"{tmp_path}/a[1].jsonl")] == [f"{tmp_path}/a[1].jsonl"]


@pytest.mark.parametrize("source", ["none.jsonl", "none/*.jsonl", "料理/*.xyz", "料理/2026-11-22/a.jsonl/x", "empty"])
def test_a_source_without_files_is_unavailable(tree: Path, source: str) -> None:
    """Today's dump may not have arrived yet: try again."""
    (tree / "empty").mkdir()
    with pytest.raises(UnavailableError, match="no file matches"):
        list_files(f"{tree}/{source}")


@pytest.mark.parametrize(
    ("stray", "hint"),
    [
        ("README.md", "choose the files to read with a glob"),
        ("a.jsonl.bz2", "choose the files to read with a glob"),
        ("noextension", "choose the files to read with a glob"),
    ],
)
@pytest.mark.parametrize("as_folder", [True, False])
def test_a_file_of_another_kind_is_never_skipped_silently(
    tmp_path: Path, stray: str, hint: str, as_folder: bool
) -> None:
    """The error names it, the extensions that are read, and the way out."""
    (tmp_path / "a.jsonl").touch()
    (tmp_path / stray).touch()
    with pytest.raises(DataError, match=hint) as raised:
        list_files(str(tmp_path if as_folder else tmp_path / stray))
    assert f"{tmp_path}/{stray}" in str(raised.value)
    assert ".parquet, .jsonl, .jsonl.gz" in str(raised.value)


@pytest.mark.parametrize(("end", "compression"), [(".json", None), (".json.gz", "gzip"), (".JSON.zst", "zstd")])
def test_json_is_json_lines_where_the_source_says_its_name(tmp_path: Path, end: str, compression: str | None) -> None:
    """Spark writes such names; in a folder it might be any JSON."""
    (tmp_path / f"part-0{end}").touch()
    for source in (f"part-0{end}", f"*{end}"):
        [file] = list_files(str(tmp_path / source))
        assert (file.format, file.compression) == ("jsonl", compression)
    for source in ("", "part-*"):
        with pytest.raises(DataError, match=rf"end source in that name, such as dumps/\*{end.lower()}"):
            list_files(str(tmp_path / source))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gs://bucket/a.jsonl", "gs:// is not supported"),
        ("file:///a.jsonl", "file:// is not supported"),
        ("s3://", "name one bucket"),
        ("s3://dumps-*/a.jsonl", "name one bucket"),
        ("s3://key:secret@bucket/a.jsonl", "credentials do not belong in a URL"),
        ("s3://bucket/a/?access_key=AKIA&secret_key=secret", "credentials do not belong in a URL"),
        ("https://bucket.s3.amazonaws.com/a.jsonl?X-Amz-Signature=secret", "https:// is not supported"),
    ],
)
def test_a_url_that_cannot_be_read_is_a_configuration_error(source: str, message: str) -> None:
    """And a secret in it is not repeated."""
    with pytest.raises(ConfigurationError, match=message) as raised:
        list_files(source)
    assert "secret" not in str(raised.value)


def test_a_key_with_an_empty_folder_name_is_no_endless_folder() -> None:
    """Arrow lists it as a folder in itself, as a server that keeps such keys shows (the tests' own does not)."""

    class Bucket:
        def get_file_info(self, _: pyarrow.fs.FileSelector) -> list[pyarrow.fs.FileInfo]:
            return [pyarrow.fs.FileInfo("dumps/a", pyarrow.fs.FileType.Directory)]

    folder = pyarrow.fs.FileInfo("dumps/a", pyarrow.fs.FileType.Directory)
    for listing in (_files_under(Bucket(), folder), _expand(Bucket(), "dumps/a", ["**", "*.jsonl"])):
        with pytest.raises(DataError, match=r"folder dumps/a has an object with an empty folder name \(//\)"):
            list(listing)


def test_a_dangling_link_is_not_skipped(tmp_path: Path) -> None:
    """Part of the corpus would be missing."""
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "gone.jsonl")
    with pytest.raises(UnavailableError, match=r"b\.jsonl"):
        list_files(str(tmp_path))


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """Reading it might never end."""
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(UnavailableError, match=r"a\.jsonl is neither a file nor a folder"):
        list_files(str(tmp_path))
