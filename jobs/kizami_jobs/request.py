"""Request: what is asked of a run, and whether the corpus can give it. It needs no Ray."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from kizami.analysis.user_dictionary import UserDictionary
from kizami.config import Config, CorpusConfig
from kizami.errors import ConfigurationError
from kizami.log import without_credentials
from kizami.renewal import NOTHING, Renewal


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked of a run."""

    corpus: str
    date: date | None = None
    """Business date; None: today in the configured time zone."""
    as_of_now: bool = False
    """Whether another date than today may be given to a source that is only ever "now"."""
    allow_empty: bool = False
    wait_seconds: float = 0
    """How long a source that is not there yet is waited for."""
    verb: str = "run"
    renewal: Renewal = NOTHING
    """What is analysed again though it did not change."""
    candidate: bool = False
    """Whether to stop before the commit: the snapshot is complete in the store, and no reader sees it."""
    run: str | None = None
    """The run's id where it was submitted; its date was fixed then, and is that of the source. None: a new one."""
    user: UserDictionary | None = None
    """The corpus's own words where they came with a submission; None: they are read as configured."""


def business_date(request: RunRequest, corpus: CorpusConfig, today: date) -> date:
    """The date asked for, else today. Raises ConfigurationError where the source is not that date's."""
    day = request.date or today
    if request.run is None and day != today and not corpus.dated and not request.as_of_now:
        raise ConfigurationError(
            f"the source of {corpus.name} has no {{date}} in it, so it is that of today, {today}, not of {day}: "
            "give --as-of-now to publish it under that date all the same"
        )
    return day


def check_field(renewal: Renewal, corpus: CorpusConfig) -> None:
    """Raise ConfigurationError for a field that the corpus does not have."""
    if renewal.field is not None and renewal.field not in corpus.fields:
        raise ConfigurationError(
            f"corpus {corpus.name} has no field {renewal.field!r}; its fields are {', '.join(corpus.fields)}"
        )


def parameters(config: Config, corpus: CorpusConfig, request: RunRequest, address: str | None) -> dict[str, Any]:
    """What a run is made with, for its log, without a secret."""
    ready = None if corpus.ready is None else without_credentials(corpus.ready)
    made_with = asdict(replace(corpus, source=without_credentials(corpus.source), ready=ready))
    return {
        "store": config.store,
        "ray": address or "local",
        "as_of_now": request.as_of_now,
        "allow_empty": request.allow_empty,
        "candidate": request.candidate,
        "again": None if request.renewal.asks_nothing else str(request.renewal),
        **{name: value for name, value in made_with.items() if name not in {"name", "gates"}},
    }
