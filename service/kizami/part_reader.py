"""Reading parts where they lie, through Arrow: the columns one asks for and no others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from kizami.errors import DataError, UnavailableError

_S3_FAILURE: Final = "AWS Error"
"""In every error of Arrow's S3 client, and in none of its Parquet reader."""


def read_rows(path: str, filters: object = None) -> pa.Table:
    """All columns of the rows of a part for which ``filters`` hold. Raises as ``read_row_groups`` does."""
    with _explained(path):
        filesystem, own_path = _opened(path)
        return pq.read_table(own_path, filesystem=filesystem, filters=filters)


def read_schema(path: str) -> pa.Schema:
    """The columns a part has. Raises as ``read_row_groups`` does."""
    with _explained(path), _part_file(path) as file:
        return file.schema_arrow


def read_row_groups(path: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The row groups of a part, one at a time. ``path`` is a local one or starts with ``s3://``.

    Raises DataError where the part is missing or damaged, UnavailableError when the store does not answer.
    """
    with _explained(path), _part_file(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=list(columns))


def _part_file(path: str) -> pq.ParquetFile:
    filesystem, own_path = _opened(path)
    return pq.ParquetFile(own_path, filesystem=filesystem, pre_buffer=True)


def _opened(path: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path, and the path in it."""
    if not path.startswith("s3://"):
        return fs.LocalFileSystem(), path
    # From a URI, unlike S3FileSystem(), the endpoint of the environment is honoured.
    bucket = path.removeprefix("s3://").partition("/")[0]
    filesystem, _ = fs.FileSystem.from_uri(f"s3://{bucket}")
    return filesystem, path.removeprefix("s3://")


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: its snapshot was removed or never finished; name another one") from error
    except (OSError, pa.ArrowInvalid) as error:
        if isinstance(error, OSError) and (error.errno is not None or _S3_FAILURE in str(error)):
            raise UnavailableError(f"{path} cannot be read: {error}") from error
        # Parquet's own complaints about a page or a footer are some of the one kind and some of the other.
        raise DataError(
            f"{path} is damaged ({error}): `kizami run --full` makes it anew; until then read another date"
        ) from error
