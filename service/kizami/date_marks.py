"""Date marks: where a source, a query or a marker file has the business date in it, and how it is written there."""

from __future__ import annotations

import re
from typing import Final

from kizami.errors import ConfigurationError

_MARK: Final = re.compile(r"\{date(?::([^{}]*))?\}")
_PIECE: Final = re.compile(r"%([Ymd])")
_FORM: Final = re.compile(r"(?:%[Ymd]|[^%])+")


def has_date(text: str) -> bool:
    """Whether there is a ``{date}`` in it, or one with a form, like ``{date:%Y/%m/%d}``."""
    return _MARK.search(text) is not None


def with_date(text: str, day: str) -> str:
    """The text with a business date (``2026-11-27``) in the place of each mark, in the mark's own form."""
    # Not strftime: in some locales it loses Japanese characters.
    written = dict(zip("Ymd", day.split("-"), strict=True))
    return _MARK.sub(lambda mark: _PIECE.sub(lambda piece: written[piece[1]], mark[1] or "%Y-%m-%d"), text)


def check_dates(text: str, where: str) -> None:
    """Raise ConfigurationError for a mark in a form that is of no date."""
    for mark in _MARK.finditer(text):
        if mark[1] is not None and not _FORM.fullmatch(mark[1]):
            raise ConfigurationError(
                f"{where} has {mark[0]!r} in it; a date is written with %Y, %m and %d, as in {{date:%Y%m%d}}"
            )
