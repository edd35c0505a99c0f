"""The aftermath of a run or a check: the figures for Prometheus and the notices for the webhook.

Nothing of it can fail a run: what goes wrong is said in a line, and the next run or check makes up for it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from kizami.config import Config, CorpusConfig
from kizami.errors import ConfigurationError, KizamiError, UnavailableError
from kizami.ledger import Ledger, RunEntry, State
from kizami.metrics import write_metrics
from kizami.notices import Kind, Notice, Outbox, failure, has_failed, of_check, of_ledger
from kizami.punctuality import Punctuality, cause_of, outcome_of
from kizami.record import now, timestamp
from kizami.remedies import after, newest_run
from kizami.stores import ObjectStore
from kizami.webhook import VARIABLE, Webhook, WebhookError, webhook_of_environment

_NEWS: Final = dt.timedelta(days=2)
"""Failures that ended earlier are not told any more."""
_ENTRIES: Final = 20
"""Of the ledger, that count: back to the last success, as a rule, and further than anybody waits for."""
_LOOKED_AT: Final = 200
"""Entries read for that at the most: where many start at once, most of the newest are of runs that were refused."""


def after_run(config: Config, store: ObjectStore, say: Callable[[str], None], entry: RunEntry) -> None:
    """Tell of a run that has ended, its entry closed. Never raises."""
    webhook = webhook_of_environment()
    if entry.state is State.REFUSED or (webhook is None and config.textfile_directory is None):
        return
    newest, is_away = _newest(store, entry.corpus, say)
    _write_metrics(config, entry.corpus, newest or [entry], say)
    if webhook is None:
        return
    teller = _Teller(config, store, entry.corpus, webhook, entry)
    own = [failure(entry)] if has_failed(entry) else []
    if is_away:  # it keeps no notice for later, and was waited for long enough
        for notice in own:
            _guarded(say, partial(teller.send, notice))
    else:
        _guarded(say, partial(teller.tell, newest, own))


def after_check(config: Config, store: ObjectStore, say: Callable[[str], None], answer: Punctuality) -> None:
    """Tell of what a check has found, and of what runs could not tell themselves. Never raises."""
    webhook = webhook_of_environment()
    if webhook is None and config.textfile_directory is None:
        return
    newest, is_away = _newest(store, answer.corpus, say)
    if newest:
        _write_metrics(config, answer.corpus, newest, say)
    if webhook is not None and not is_away:
        found = of_check(answer)
        teller = _Teller(config, store, answer.corpus, webhook)
        _guarded(say, partial(teller.tell, newest, [found] if found else []))


def _newest(store: ObjectStore, corpus: str, say: Callable[[str], None]) -> tuple[list[RunEntry], bool]:
    """The newest entries of the ledger but those of refused runs, none where they cannot be read; and whether the
    store is away."""
    try:
        entries = islice(Ledger(store, corpus).newest(say), _LOOKED_AT)
        return list(islice((entry for entry in entries if entry.state is not State.REFUSED), _ENTRIES)), False
    except Exception as error:  # nothing of the aftermath fails a run
        say(_trouble(error))
        return [], isinstance(error, UnavailableError | ConfigurationError)


def _write_metrics(config: Config, corpus: str, newest: Sequence[RunEntry], say: Callable[[str], None]) -> None:
    if config.textfile_directory is not None:
        _guarded(say, partial(write_metrics, config.textfile_directory, corpus, newest))


@dataclass(frozen=True, slots=True)
class _Teller:
    """Who tells the webhook of a corpus."""

    config: Config
    store: ObjectStore
    corpus: str
    webhook: Webhook
    entry: RunEntry | None = None
    """Of the run that has just ended: the ledger has it too, unless the store was away."""

    def tell(self, newest: Sequence[RunEntry], found: Sequence[Notice]) -> None:
        """Put what there is to tell by the ledger's newest entries, and what was found, into the outbox, and send what
        is in it. Raises WebhookError, KizamiError."""
        outbox = Outbox(self.store, self.corpus)
        since = timestamp(now() - _NEWS)
        for notice in [*of_ledger(newest, since, outbox.was_late), *found]:
            outbox.add(notice)
        outbox.deliver(self.send)

    def send(self, notice: Notice) -> None:
        """Send one. Raises WebhookError, KizamiError."""
        entry = self.entry
        if entry is None or entry.run != notice.run:
            is_of_run = notice.run is not None and notice.name is not Kind.LATE
            entry = Ledger(self.store, self.corpus).find(notice.run or "") if is_of_run else None
        today = now().astimezone(self.config.timezone).date()
        text = text_of(notice, entry, self.config.corpus(self.corpus), today)
        self.webhook.post(event_id(notice, self.store.url), text)


def event_id(notice: Notice, store: str) -> str:
    """The id by which a receiver knows a repeated delivery: two stores may have a corpus of one name."""
    digest = hashlib.sha256(store.rstrip("/").encode()).hexdigest()
    return f"{notice.corpus}.{notice.id}.{digest[:8]}"


def text_of(notice: Notice, entry: RunEntry | None, corpus: CorpusConfig, today: dt.date) -> str:
    """A notice as people read it: corpus, run, cause, and what to type."""
    if notice.name is Kind.LATE:
        return f"kizami: {notice.cause}"
    subject = f"kizami: {notice.corpus} {notice.date}"
    if entry is None:
        return f"{subject}: {notice.name}: run {notice.run}; type: {newest_run(corpus.name)}"
    if notice.name is Kind.FAILED:
        return f"{subject}: {outcome_of(entry)}: {cause_of(entry)}; type: {after(entry, corpus, today)}"
    did = "found it published" if entry.state is State.UNCHANGED else f"published {entry.counts.rows:,} rows"
    return f"{subject}: recovered: {entry.verb} {entry.run} {did} ({entry.snapshot}); type: {newest_run(corpus.name)}"


def _guarded(say: Callable[[str], None], work: Callable[[], None]) -> None:
    try:
        work()
    except WebhookError as error:
        say(f"the webhook of {VARIABLE} was not told: {error}; the next run or check tells it again")
    except Exception as error:  # nothing of the aftermath fails a run
        say(_trouble(error))


def _trouble(error: Exception) -> str:
    # Others' messages may repeat the URL, which is a secret.
    known = isinstance(error, KizamiError | OSError | ImportError)
    what = str(error) if known else type(error).__name__
    return f"metrics and webhook: {what}; nothing else is affected"
