"""The Ray cluster a job runs on: one of its own on this host, or an existing one."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, Final, TextIO

import ray
import ray.exceptions

# Not public, but the only way to be told: ray.init() with a wrong token says that nobody answers, after 20 s.
from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # of its own making

from kizami.errors import ConfigurationError, InterruptedRunError, KizamiError, UnavailableError
from kizami.log import without_credentials
from kizami_jobs.memory import LASTING_POOL, POOL_VARIABLE

# Ray warns of a changed default that only concerns hosts with accelerators.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Nothing is to leave the host.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Workers get it from the start: Parquet's writer keeps to that pool whatever it is told later.
os.environ.setdefault(POOL_VARIABLE, LASTING_POOL)


_QUIET: Final = {"enable_metrics_collection": False, "task_events_report_interval_ms": 0}
"""What a Ray of this host alone need not tell anybody: it has no dashboard, and the workers need the cores."""
_ANSWER_SECONDS: Final = 10.0
_CONTROL_SECONDS: Final = 30.0
"""For the control service to answer once it is connected; Ray waits for minutes, and hears no signal meanwhile."""


@contextmanager
def connected(address: str | None, news: TextIO | None = None) -> Iterator[None]:
    """Be connected to the cluster at ``address`` (Ray's own forms), or to a new local one that ends with this context.

    A connection that exists already is used and left open. ``news`` is where Ray prints, by default stderr. Raises
    UnavailableError where no cluster answers, ConfigurationError where it refuses the token.
    """
    if ray.is_initialized():
        yield
        return
    if address and address.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"RAY_ADDRESS={without_credentials(address)} is the URL of a dashboard, to which `kizami submit` sends a "
            "run: to make it from here, name the cluster itself, HOST:6379"
        )
    if address:
        await_answer(address)
    # Whatever its log_to_driver, Ray prints the news of a dead worker to sys.stdout, which is for the answer.
    with redirect_stdout(news or sys.stderr), _session(address):
        yield


@contextmanager
def _session(address: str | None) -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(
            # Not None: Ray would join whatever cluster was started last on this host.
            address=address or "local",
            # None: an existing cluster has its own.
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _system_config=None if address else _QUIET,
        )
    except ray.exceptions.AuthenticationError as error:
        raise refused(f"at RAY_ADDRESS={address}" if address else "of this host") from error
    except (ConnectionError, TimeoutError, ValueError, RuntimeError, OSError) as error:
        where = f"the Ray cluster at RAY_ADDRESS={address}" if address else "a local Ray"
        raise UnavailableError(f"{where} did not start or answer: {first_line(error)}") from error
    except SystemExit as error:  # by the handler that Ray has while it starts
        ray.shutdown()
        raise InterruptedRunError(signal.SIGTERM) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            # Ray puts its own in their place, which exit without a word in the ledger.
            for number, handler in handlers.items():
                signal.signal(number, handler)
    try:
        if not address:
            _end_idlers()
        yield
    finally:
        ray.shutdown()


def _end_idlers() -> None:
    """End two processes that have nothing to do on a Ray of this host alone, and for which ray.init() has no switch.

    One would ask for more hosts; ray.shutdown() ends it after the control service, for whose answer it then waits
    until Ray kills it: a second of every run. The other would pass on what workers print, which is not wanted here
    (``log_to_driver``), and looks through their files all the time.
    """
    with suppress(Exception):  # none of this is public; without it the run only takes longer
        node: Any = ray._private.worker._global_node
        node.kill_monitor(check_alive=False)
        node.kill_log_monitor(check_alive=False)


def await_answer(address: str, named: str = "RAY_ADDRESS=") -> None:
    """Raise UnavailableError unless somebody listens at the address, ConfigurationError where it is a cluster that
    refuses the token: Ray itself goes on asking, or ends the process."""
    host, _, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not port.isdigit():
        return  # "auto": Ray looks for the cluster on this host, and says at once if there is none
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UnavailableError(
            f"no Ray cluster answers at {named}{address} ({error}): start it, correct the address, "
            "or unset RAY_ADDRESS to run on a local Ray"
        ) from error
    if "://" not in address and (fault := _fault(address)):
        if isinstance(fault, ray.exceptions.AuthenticationError):
            raise refused(f"at {named}{address}") from fault
        raise UnavailableError(
            f"what listens at {named}{address} does not answer as a Ray cluster does ({first_line(fault)}): see "
            "whether its head is alive, or correct the address"
        ) from fault


def _fault(address: str) -> Exception | None:
    """What is wrong with the control service at ``host:port``, if something is."""
    outcome: list[Exception | None] = []

    def ask() -> None:
        try:
            ensure_token_if_auth_enabled(None, create_token_if_missing=False)
            GcsClient(address=address)
        except Exception as error:
            outcome.append(error)
        else:
            outcome.append(None)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_CONTROL_SECONDS)
    return outcome[0] if outcome else TimeoutError(f"no answer within {_CONTROL_SECONDS:.0f} s")


def refused(cluster: str) -> ConfigurationError:
    """The error for a cluster, ``at ADDRESS``, that refuses the token, or for lack of one is not even asked."""
    return ConfigurationError(
        f"the Ray cluster {cluster} refuses the token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN "
        "(or RAY_AUTH_TOKEN_PATH) to the cluster's own"
    )


def cluster_error(error: ray.exceptions.RayError) -> KizamiError | BaseException:
    """The error to raise for what Ray reports of a task: the task's own, or UnavailableError for a lost worker."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return error.cause if isinstance(error.cause, Exception) else error
    return UnavailableError(
        f"Ray lost a worker and gave up ({type(error).__name__}: {first_line(error)}); start the run again to go on"
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's message that has something in it, else its name."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
