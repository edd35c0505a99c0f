"""Keys of a store: which are allowed, the same for a bucket and a folder."""

from __future__ import annotations

from typing import Final

from kizami.errors import ConfigurationError

TEMPORARY: Final = ".tmp"
"""Folder in a local store's root for files on their way; no key may begin with it, on S3 neither."""


def checked_key(key: str) -> str:
    """The key itself, if it names an object below the root; else ConfigurationError."""
    segments = key.split("/")
    if any(segment in {"", ".", ".."} for segment in segments) or "\0" in key or segments[0] == TEMPORARY:
        raise ConfigurationError(f"{key!r} is no key of a store: use plain names with / between them")
    return key
