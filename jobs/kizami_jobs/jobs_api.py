"""Ray's Jobs API: one job started on a cluster by HTTP, and what becomes of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobSubmissionClient

from kizami.errors import ConfigurationError, UnavailableError
from kizami.log import without_credentials
from kizami_jobs.cluster import await_answer, first_line, refused

_TIMEOUTS_SECONDS: Final = (5.0, 30.0)
"""To connect, and for each piece of an answer. Ray's client would wait for ever on a head that is cut off."""
_ADDRESS: Final = "RAY_API_SERVER_ADDRESS"
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class JobState:
    """What Ray says of a job."""

    ended: bool
    message: str
    exit_code: int | None
    """That of its command; None where it never ran or was killed."""


class JobsApi:
    """The Jobs API of one cluster. Every method raises UnavailableError where it does not answer, and
    ConfigurationError where it refuses the token."""

    def __init__(self, address: str | None) -> None:
        """Connect. ``address`` is the URL of the dashboard, ``http://head:8265``, or an address of the cluster; None:
        what ``RAY_API_SERVER_ADDRESS`` or ``RAY_ADDRESS`` says."""
        found = address or os.environ.get(_ADDRESS) or os.environ.get("RAY_ADDRESS")
        if not found:
            raise ConfigurationError(
                "no Ray cluster is named: give --address http://HEAD:8265, or set RAY_API_SERVER_ADDRESS"
            )
        self._address, self._shown = found, without_credentials(found)
        if not found.startswith("http"):
            await_answer(found, "")  # Ray asks for minutes
        with self._explained(), _only_address(found):
            self._client = _Client(found)

    @property
    def url(self) -> str:
        """Where the API is, without credentials."""
        return without_credentials(str(self._client.get_address()))

    def start(self, run: str, command: str, metadata: dict[str, str]) -> None:
        """Start a job of this name. What it needs is installed on the cluster: nothing is uploaded."""
        self._ask(lambda: self._client.submit_job(entrypoint=command, submission_id=run, metadata=metadata))

    def state(self, run: str) -> JobState:
        """What Ray knows of the job. Raises UnavailableError, too, where it knows of none: its head was restarted."""
        info = self._ask(lambda: self._client.get_job_info(run))
        return JobState(
            ended=info.status.is_terminal(),
            # It has the end of the log in it, which was shown already.
            message=" ".join(str(info.message or info.status).partition(", last available logs")[0].split()),
            exit_code=info.driver_exit_code,
        )

    def log(self, run: str) -> str:
        """All that the job has printed so far."""
        return str(self._ask(lambda: self._client.get_job_logs(run)))

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        with self._explained():
            return call()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            raise refused(f"at {self._shown}") from error
        except (RayError, OSError, RuntimeError, ValueError) as error:
            raise UnavailableError(
                f"the Jobs API of the Ray cluster at {self._shown} does not answer as it should "
                f"({first_line(error).replace(self._address, self._shown)}): see whether its head runs with a "
                "dashboard, and correct the address"
            ) from error


class _Client(JobSubmissionClient):
    """Ray's client, which sets no limits of time by itself."""

    def __init__(self, address: str) -> None:
        logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)
        super().__init__(address)

    def _do_request(self, *arguments: Any, **named: Any) -> Any:
        return super()._do_request(*arguments, **{"timeout": _TIMEOUTS_SECONDS, **named})


@contextmanager
def _only_address(address: str) -> Iterator[None]:
    """Let Ray's client take this address: it looks into the environment first, whatever it is given."""
    before = os.environ.get(_ADDRESS)
    os.environ[_ADDRESS] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ADDRESS]
        else:
            os.environ[_ADDRESS] = before
