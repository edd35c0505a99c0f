"""A submission: what ``kizami submit`` asks a cluster to run, left in the store for the job to find.

It travels by the store and not by the cluster: Ray shows a job's command and environment to whoever sees its dashboard,
and ids are no business of theirs; nor is a host of the cluster asked for a configuration file.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kizami import json_form, layout
from kizami.config import Config, parse_config
from kizami.errors import ConfigurationError, DataError, RunExistsError, UnavailableError
from kizami.ledger import Ledger, RunEntry, exists
from kizami.punctuality import JOBS
from kizami.renewal import NOTHING, Renewal
from kizami.stores import ConditionFailedError, ObjectMissingError, ObjectStore

if TYPE_CHECKING:
    from kizami.analysis.user_dictionary import UserDictionary


@dataclass(frozen=True, slots=True)
class Submission:
    """One run to be made, whoever starts it when and how often."""

    run: str
    """Its id. One that has an entry in the ledger is not run again."""
    corpus: str
    date: str
    """Business date, fixed when it was submitted."""
    configuration: str
    """The text of the configuration file."""
    folder: str
    """Where relative paths in it start: on the cluster's hosts, too."""
    submitted_at: str
    verb: str = "run"
    as_of_now: bool = False
    allow_empty: bool = False
    candidate: bool = False
    renewal: Renewal = NOTHING
    wait_seconds: float = 0.0
    """How long a source that is not there yet is waited for, from when the job begins."""
    words: str | None = None
    """Where the user dictionary was read; its bytes are in an object beside this one."""

    def __post_init__(self) -> None:
        """Raise ValueError for what a run cannot be made of."""
        dt.date.fromisoformat(self.date)
        if self.verb not in JOBS:
            raise ValueError(f"{self.verb!r} is no verb that can be submitted")

    def config(self) -> Config:
        """The configuration. Raises ConfigurationError for what this version of Kizami does not understand."""
        try:
            return parse_config(self.configuration, Path(self.folder))
        except ConfigurationError as error:
            raise ConfigurationError(
                f"the configuration that run {self.run} was submitted with: {error}; "
                "is another version of kizami installed on the cluster?"
            ) from None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a submission lies, in one word for a command line."""

    store: str
    corpus: str
    run: str

    def __str__(self) -> str:
        return f"{self.store}/{layout.submission_key(self.corpus, self.run)}"

    @classmethod
    def parse(cls, url: str) -> Place:
        """The place that ``str`` gave. Raises ConfigurationError."""
        store, _, rest = url.rpartition("/v1/")
        corpus, _, name = rest.partition("/submissions/")
        run = name.removesuffix(".json")
        place = cls(store, corpus, run)
        try:
            if store and corpus and run and str(place) == url:
                return place
        except ConfigurationError:
            pass  # no names
        raise ConfigurationError(f"{url} is no submission: `kizami submit` gives its address to the job")


def write_submission(store: ObjectStore, submission: Submission, user: UserDictionary | None) -> None:
    """Put a submission and the user dictionary it needs into the store. Raises UnavailableError."""
    if user is not None:
        store.put(layout.submitted_words_key(submission.corpus, submission.run), user.content)
    key = layout.submission_key(submission.corpus, submission.run)
    body = json_form.encode(submission)
    try:
        store.create(key, body)
    except ConditionFailedError:
        if store.get(key).body != body:  # else our own write, whose answer was lost
            raise


def read_submission(store: ObjectStore, place: Place) -> tuple[Submission, UserDictionary | None]:
    """A submission, with the user dictionary that came with it. Raises ConfigurationError where there is none, and
    DataError where it is damaged."""
    key = layout.submission_key(place.corpus, place.run)
    try:
        submission = json_form.decode(Submission, store.get(key).body, key)
        if (submission.corpus, submission.run) != (place.corpus, place.run):
            raise DataError(f"{place} is of another run, {submission.run} of {submission.corpus}: submit it again")
        if submission.words is None:
            return submission, None
        words = store.get(layout.submitted_words_key(place.corpus, place.run)).body
    except ObjectMissingError:
        raise ConfigurationError(
            f"{place} is not there: a submission is removed when its run ends, by `kizami forget`, and after 3 days; "
            "on several hosts `store` is an s3:// URL or a folder all of them share. Submit it again"
        ) from None
    # Imported here: it needs what only the job has installed.
    from kizami.analysis.user_dictionary import UserDictionary  # noqa: PLC0415

    return submission, UserDictionary(submission.words, words)


def remove_submission(store: ObjectStore, place: Place) -> None:
    """Remove it with what belongs to it; what cannot be removed now, retention removes."""
    with suppress(UnavailableError):
        store.delete(
            [layout.submission_key(place.corpus, place.run), layout.submitted_words_key(place.corpus, place.run)]
        )


def ended(store: ObjectStore, place: Place) -> RunEntry | None:
    """The entry of the ledger if its run has ended; None where it has none yet. Raises RunExistsError while the run
    goes on, or where it died without a word."""
    entry = Ledger(store, place.corpus).find(place.run)
    if entry is not None and entry.exit_code is None:
        raise RunExistsError(exists(entry))
    return entry
