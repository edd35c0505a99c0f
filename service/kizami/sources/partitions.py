"""Partitions: columns that a file has in its path, as Hive and Spark write them (``dt=2026-11-27/site=a/``)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import unquote

_NULL: Final = "__HIVE_DEFAULT_PARTITION__"


def partition_values(url: str, wanted: Collection[str]) -> dict[str, str | None]:
    """The partition columns among ``wanted`` that the folders of a path name, with their values.

    A value is a string, as it stands there (``007`` stays so), percent escapes decoded; None for Hive's null. Of one
    name twice the innermost counts.
    """
    found: dict[str, str | None] = {}
    for folder in url.split("/")[:-1]:
        name, equals, value = folder.partition("=")
        name = unquote(name)
        if equals and name in wanted:
            found[name] = None if value == _NULL else unquote(value)
    return found
