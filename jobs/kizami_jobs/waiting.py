"""Waiting for a source that has not arrived yet, before anything is locked or begun."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from kizami.config import CorpusConfig
from kizami.errors import ConfigurationError, DataError, UnavailableError
from kizami.sources import NotThereYetError, Origin, open_origin

_FIRST_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 300.0


def open_corpus(corpus: CorpusConfig, sleep: Callable[[float], None]) -> Origin:
    """Open the source of a corpus, which is of a business date already."""
    return open_origin(
        corpus.database or corpus.source,
        id_column=corpus.id_column,
        fields=corpus.fields,
        dated=corpus.of_some_date,
        ready=corpus.ready,
        sleep=sleep,
    )


def await_source(
    corpus: CorpusConfig, seconds: float, *, say: Callable[[str], None], sleep: Callable[[float], None]
) -> bool:
    """Look for the source of a corpus, which is of a business date already, until it is there; whether it is.

    Looks again after 5 s, and each time after twice as long, up to 5 minutes. A source that cannot be asked is waited
    for like one that is not there; one that something is wrong with is there, and the run will say what. Raises
    whatever ``sleep`` does.
    """
    end = time.monotonic() + seconds
    pause = _FIRST_SECONDS
    while True:
        try:
            open_corpus(corpus, sleep).close()
        except (ConfigurationError, DataError):
            return True
        except UnavailableError as error:
            left = end - time.monotonic()
            if left <= 0:
                return False
            pause = min(pause, left)
            if seconds:
                what = _missing(error)
                say(f"source {corpus.source_name}: {what}; looking again in {pause:.0f} s, for {left:.0f} s more")
        else:
            return True
        sleep(pause)
        pause = min(2 * pause, _LONGEST_SECONDS)


def _missing(error: UnavailableError) -> str:
    if not isinstance(error, NotThereYetError):
        return str(error)
    return "not there yet" if error.marker is None else f"not there yet, as there is no {error.marker}"
