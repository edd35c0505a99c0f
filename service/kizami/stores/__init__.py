"""Object stores: S3 and a local folder behind one interface."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Final

from kizami.errors import ConfigurationError
from kizami.stores.base import (
    ConditionFailedError,
    ObjectInfo,
    ObjectMissingError,
    ObjectStore,
    OutcomeUnknownError,
    StoredObject,
    Versioning,
)

__all__ = [
    "ConditionFailedError",
    "ObjectInfo",
    "ObjectMissingError",
    "ObjectStore",
    "OutcomeUnknownError",
    "StoredObject",
    "Versioning",
    "open_store",
    "require_folder",
]

_STRANGE: Final = re.compile(r"[^A-Za-z0-9._~!$&'()+,;:@-]")
"""What cannot stand in a URL as it is, and ``*``, which is a pattern to readers of a glob."""


def open_store(url: str) -> ObjectStore:
    """The store at ``s3://bucket/prefix`` or in a local folder. Touches neither network nor disk.

    Raises ConfigurationError for any other scheme, a malformed bucket, credentials in the URL, and for what readers
    would not find: a ``key=value`` segment, which they take for a partition of the data, and on S3 what a URL has to
    escape, for they differ in whether it is.
    """
    scheme, separator, rest = url.partition("://")
    if not url.strip():
        raise ConfigurationError("the store's URL is empty: set `store` to s3://bucket/prefix or a folder")
    if separator and scheme != "s3":
        raise ConfigurationError(f"a store cannot be at {scheme}://: set `store` to s3://bucket/prefix or a folder")
    if separator and "@" in rest.split("/")[0]:
        # The URL is not repeated: what stands before the @ may be a secret.
        raise ConfigurationError("the store's URL holds credentials: take them out and leave them to AWS's own chain")
    for segment in url.split("/"):
        if "=" in segment:
            raise ConfigurationError(
                f"the store's URL {url} has the segment {segment!r}, which readers take for a partition: rename it"
            )
        if separator and (strange := _STRANGE.search(segment)):
            raise ConfigurationError(
                f"the store's URL {url} has {strange[0]!r} in it, with which pandas does not find it: name it with "
                "letters and digits of ASCII, - and _"
            )
    if separator:
        # Imported here: boto3 takes a quarter of a second, and a local store needs none of it.
        from kizami.stores.s3 import S3Store  # noqa: PLC0415

        return S3Store(url)
    from kizami.stores.local import LocalStore  # noqa: PLC0415  # needs fcntl, which readers on Windows lack

    return LocalStore(url)


def require_folder(url: str) -> None:
    """Raise ConfigurationError for a local store whose folder is not there: what looks for something in it would only
    find nothing, or make the folder. S3 tells by itself that a bucket is missing."""
    if "://" in url:
        return
    try:
        if not stat.S_ISDIR(Path(url).expanduser().stat().st_mode):
            raise ConfigurationError(f"the store {url} is a file and no folder: correct `store` in the configuration")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(
            f"the store {url} does not exist: correct `store` in the configuration; the first `kizami run` makes it"
        ) from None
    except OSError:
        return  # it is there; the store itself tells what is wrong with it
