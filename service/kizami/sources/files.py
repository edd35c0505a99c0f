"""Source files: what a corpus's ``source`` names, as a sorted list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal

import pyarrow.fs

from kizami.errors import ConfigurationError, DataError, UnavailableError
from kizami.log import without_credentials

Format = Literal["parquet", "jsonl", "csv"]
Compression = Literal["gzip", "zstd"]

_EXTENSIONS: Final[dict[str, tuple[Format, Compression | None]]] = {
    ".parquet": ("parquet", None),
    ".jsonl": ("jsonl", None),
    ".jsonl.gz": ("jsonl", "gzip"),
    ".jsonl.zst": ("jsonl", "zstd"),
    ".ndjson": ("jsonl", None),
    ".ndjson.gz": ("jsonl", "gzip"),
    ".ndjson.zst": ("jsonl", "zstd"),
    ".csv": ("csv", None),
    ".csv.gz": ("csv", "gzip"),
    ".csv.zst": ("csv", "zstd"),
}
_JSON: Final = re.compile(r"\.json(\.gz|\.zst)?$", re.IGNORECASE)
"""Spark and others name JSON Lines so, others a document of many lines: JSON Lines where the source says this name."""
_S3: Final = "s3://"
_GLOB: Final = re.compile(r"[*?\[]")


class NotThereYetError(UnavailableError):
    """The source of this date has not arrived: it is waited for, or the run is started again later."""

    marker: str | None = None
    """The file that would say that it is all there, if that is what is missing."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source."""

    url: str
    """``s3://bucket/key`` or an absolute local path."""
    format: Format
    compression: Compression | None
    size_bytes: int
    """Bytes as stored, before decompression."""
    modified_ns: int | None = None
    """When it was last written, as it was listed, in nanoseconds since 1970; None: not known, and not compared."""
    piece: tuple[int, int] | None = None
    """Of a file that is read in pieces: from which row group (Parquet) or byte (JSON Lines) to which, the last not
    included. A line belongs to the piece that its first byte is in."""
    rows_before: int = 0
    """Rows of a Parquet file before the piece. Lines before one of JSON Lines are known when those are read."""


def list_files(source: str) -> tuple[SourceFile, ...]:
    """Return the files that ``source`` names, sorted by url.

    ``source`` is a file, a folder (read recursively) or a glob (``*``, ``?``, ``[]`` within one name; ``**`` for any
    depth of folders; a folder that a glob matches is read recursively), on the local disk or, with ``s3://``, on S3.
    Names that start with ``_`` or ``.`` are skipped inside a folder, and by a glob that does not spell the character
    out: job markers such as ``_SUCCESS`` are not data. A file that exists under exactly this name wins over a glob.
    Files named ``.json`` are JSON Lines where ``source`` ends in that name, as in ``dumps/*.json.gz``.

    Raises NotThereYetError when nothing matches, UnavailableError when the source cannot be read, DataError for a file
    of an unknown extension (nothing else is skipped silently), ConfigurationError for a URL of another kind.
    """
    file_system, path = open_file_system(source)
    prefix = _S3 if source.startswith(_S3) else ""
    try:
        found = {info.path: info for info in _match(file_system, path)}
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UnavailableError(f"source {source} cannot be listed: {one_line(error)}") from error
    if not found:
        raise NotThereYetError(
            f"source {source} is not there yet: no file matches; check the path, or wait for it with --wait 2h"
        )
    spelt = _JSON.search(source) is not None
    return tuple(_source_file(prefix + path, found[path], json_lines=spelt) for path in sorted(found))


def require_marker(marker: str) -> None:
    """Raise NotThereYetError unless there is this file, which is written when all of a source is there."""
    file_system, path = open_file_system(marker)
    try:
        info = file_system.get_file_info(path)
    except OSError as error:
        raise UnavailableError(f"{marker} cannot be looked for: {one_line(error)}") from error
    if info.type == pyarrow.fs.FileType.NotFound:
        missing = NotThereYetError(f"the source is not there yet: there is no {marker}; wait for it with --wait 2h")
        missing.marker = marker
        raise missing


def open_file_system(url: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """Return the file system of a URL and the path on it.

    S3 is Arrow's own client: AWS's credential chain, ``AWS_ENDPOINT_URL`` and the bucket's region are its business.
    Raises ConfigurationError for another scheme or an incomplete URL, UnavailableError when S3 is away.
    """
    if not url.startswith(_S3):
        if scheme := re.match(r"[a-z][a-z0-9+.-]*://", url):
            # What stands before an @ may be a secret, and so may parameters.
            shown = f"{scheme[0]}…" if "@" in url or "?" in url else url
            raise ConfigurationError(
                f"source {shown}: {scheme[0]} is not supported; give a local path, s3://bucket/path or "
                "postgresql://host/database"
            )
        return pyarrow.fs.LocalFileSystem(), str(Path(url).absolute())
    bucket, _, key = url.removeprefix(_S3).partition("/")
    if without_credentials(url) != url:
        # Not repeated in the message.
        raise ConfigurationError(
            "source s3://…: credentials do not belong in a URL; use AWS's own environment or profile"
        )
    if not bucket or _GLOB.search(bucket):
        raise ConfigurationError(f"source {url}: name one bucket, as in s3://bucket/path")
    try:
        file_system, _ = pyarrow.fs.FileSystem.from_uri(_S3 + bucket)
    except pyarrow.ArrowInvalid as error:
        raise ConfigurationError(f"source {url}: {one_line(error)}") from error
    except OSError as error:
        raise UnavailableError(f"source {url} cannot be reached: {one_line(error)}") from error
    return file_system, f"{bucket}/{key}".rstrip("/")


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, for use inside another message."""
    return " ".join(str(error).split()) or type(error).__name__


def _source_file(url: str, info: pyarrow.fs.FileInfo, *, json_lines: bool) -> SourceFile:
    name = url.rpartition("/")[2].lower()
    if json_lines:
        name = _JSON.sub(r".jsonl\1", name)
    # The longest extension first: .jsonl.gz before a plain .gz would be asked for.
    for extension, (file_format, compression) in _EXTENSIONS.items():
        if name.endswith(extension):
            return SourceFile(url, file_format, compression, info.size or 0, info.mtime_ns)
    known = ", ".join(_EXTENSIONS)
    if json := _JSON.search(name):
        hint = f"if it holds one JSON object a line, end source in that name, such as dumps/*{json[0]}"
    else:
        hint = "choose the files to read with a glob, such as dumps/*.jsonl"
    raise DataError(f"source file {url} has none of the extensions that are read ({known}); {hint}")


def _match(file_system: pyarrow.fs.FileSystem, path: str) -> Iterator[pyarrow.fs.FileInfo]:
    info = file_system.get_file_info(path)
    if info.type != pyarrow.fs.FileType.NotFound:
        yield from _files_under(file_system, info)
    elif _GLOB.search(path):
        segments = path.split("/")
        first = next(index for index, segment in enumerate(segments) if _GLOB.search(segment))
        yield from _expand(file_system, "/".join(segments[:first]) or "/", segments[first:])


def _expand(file_system: pyarrow.fs.FileSystem, folder: str, segments: Sequence[str]) -> Iterator[pyarrow.fs.FileInfo]:
    pattern, rest = segments[0], segments[1:]
    if pattern == "**":
        # No folder at all, or one more and the same question again.
        yield from _expand(file_system, folder, rest or ["*"])
        for child in _children(file_system, folder, "*"):
            if child.type == pyarrow.fs.FileType.Directory:
                yield from _expand(file_system, child.path, segments)
        return
    for child in _children(file_system, folder, pattern):
        if not rest:
            yield from _files_under(file_system, child)
        elif child.type == pyarrow.fs.FileType.Directory:
            yield from _expand(file_system, child.path, rest)


def _files_under(file_system: pyarrow.fs.FileSystem, info: pyarrow.fs.FileInfo) -> Iterator[pyarrow.fs.FileInfo]:
    if info.type == pyarrow.fs.FileType.NotFound:
        raise FileNotFoundError(f"{info.path} leads nowhere")
    if info.type == pyarrow.fs.FileType.Unknown:
        raise OSError(f"{info.path} is neither a file nor a folder")  # a pipe: reading it might never end
    if info.type != pyarrow.fs.FileType.Directory:
        yield info
        return
    for child in _children(file_system, info.path, "*"):
        yield from _files_under(file_system, child)


def _children(file_system: pyarrow.fs.FileSystem, folder: str, pattern: str) -> Iterator[pyarrow.fs.FileInfo]:
    hidden = pattern[0] if pattern[0] in "_." else None
    found = file_system.get_file_info(pyarrow.fs.FileSelector(folder, allow_not_found=True))
    if isinstance(file_system, pyarrow.fs.LocalFileSystem) and found:
        # Arrow leaves out a link that leads nowhere; part of the corpus would be missing.
        gone = {path.name for path in Path(folder).iterdir()} - {info.base_name for info in found}
        found.extend(info for name in gone for info in file_system.get_file_info([f"{folder.rstrip('/')}/{name}"]))
    for info in found:
        first = info.base_name[:1]
        if fnmatchcase(info.base_name, pattern) and (first not in {"_", "."} or first == hidden):
            if info.path == folder.rstrip("/"):
                # S3 has keys with // in them, which Arrow lists as a folder inside itself, and does not read.
                raise DataError(
                    f"source folder {folder} has an object with an empty folder name (//) in its key, which cannot be "
                    "read; name it otherwise, or choose the files to read with a glob"
                )
            yield info
