"""Several corpora: all of a configuration, one after another, whatever becomes of each."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from kizami.config import Config
from kizami.errors import InterruptedRunError, KizamiError
from kizami.record import now
from kizami.signals import Interruption
from kizami_jobs.daily import RunResult, run_corpus
from kizami_jobs.progress import Progress
from kizami_jobs.request import RunRequest, business_date
from kizami_jobs.waiting import await_source

_GRAVEST: Final = (143, 130, 129, 70, 78, 65, 124, 69, 75)
"""Exit codes, by how much somebody is needed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one corpus."""

    corpus: str
    result: RunResult | None = None
    error: str = ""
    """Name of the error, where there is no result."""
    message: str = ""
    exit_code: int = 0

    @property
    def data(self) -> dict[str, Any]:
        """What ``--json`` tells of it."""
        if self.result is not None:
            return {"run": asdict(self.result.entry), "snapshot": asdict(self.result.pointer)}
        return {"error": self.error, "message": self.message, "exit_code": self.exit_code}


def run_all(
    config: Config,
    request: RunRequest,
    progress: Progress,
    *,
    address: str | None,
    interruption: Interruption,
    debug: bool = False,
) -> list[Outcome]:
    """Run every corpus of the configuration, as ``run_corpus`` would; ``request`` is for each of them.

    They come in the order of the configuration, but those whose source is not there yet last: all wait for the same
    length of time. No failure of one keeps another from its turn; only a signal ends it all, and those left are named.
    """
    end = time.monotonic() + request.wait_seconds
    ready, late = _by_arrival(config, request, interruption)
    outcomes: list[Outcome] = []
    for name in [*ready, *late]:
        left = max(0.0, end - time.monotonic()) if name in late else 0.0
        own = replace(request, corpus=name, wait_seconds=left)
        progress.say(f"corpus {name}")
        outcome = _run(config, own, progress, address, interruption, debug=debug)
        if outcome.result is None:
            progress.say(f"kizami: {name}: {outcome.message}")
        outcomes.append(outcome)
    return outcomes


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 if all went well; else that of the failure that needs somebody most."""
    codes = {outcome.exit_code for outcome in outcomes} - {0}
    return next((code for code in _GRAVEST if code in codes), max(codes, default=0))


def _by_arrival(config: Config, request: RunRequest, interruption: Interruption) -> tuple[list[str], list[str]]:
    if not request.wait_seconds:
        return list(config.corpora), []
    ready: list[str] = []
    late: list[str] = []
    today = now().astimezone(config.timezone).date()
    for name, corpus in config.corpora.items():
        try:
            day = business_date(replace(request, corpus=name), corpus, today).isoformat()
            there = await_source(corpus.of_date(day), 0, say=lambda _: None, sleep=interruption.sleep)
        except InterruptedRunError:
            raise
        except Exception:  # whatever it is, it fails in its turn
            there = True
        (ready if there else late).append(name)
    return ready, late


def _run(
    config: Config,
    request: RunRequest,
    progress: Progress,
    address: str | None,
    interruption: Interruption,
    *,
    debug: bool,
) -> Outcome:
    try:
        interruption.check()
        result = run_corpus(config, request, progress, address=address, interruption=interruption)
    except Exception as error:  # whatever it is, the next corpus has its turn
        if debug:
            traceback.print_exception(error)
        known = isinstance(error, KizamiError)
        message = str(error) if known else "this is a bug in kizami; --debug shows where, please report it"
        if isinstance(error, InterruptedRunError):
            message = f"interrupted by signal {error.signal_number}"
        return Outcome(
            request.corpus,
            error=type(error).__name__,
            message=" ".join(message.split()),
            exit_code=error.exit_code if isinstance(error, KizamiError) else KizamiError.exit_code,
        )
    return Outcome(request.corpus, result)
