"""The errors of Kizami: one root, one child for each thing the caller does next.

::

    KizamiError                     70  a bug: report it
    ├── ConfigurationError          78  correct the configuration or the command
    ├── DataError                   65  correct the data; nothing was published
    │   └── GateClosedError         65  look at the snapshot that a gate held back; publish it if it is right
    ├── UnavailableError            69  try again later: store, source or Ray are away
    │   ├── LastingError            69  another attempt within the run would find the same
    │   └── CommitStateUnknownError 69  the answer to a commit was lost: the next run finds out and finishes it
    ├── LockHeldError               75  somebody else is running
    ├── LockLostError               75  somebody else took over; this run published nothing
    ├── RunExistsError              75  this very run has begun already
    ├── DeadlineError              124  it took longer than the configuration allows; nothing was published
    ├── SubmittedRunError            *  a run on a cluster ended with this exit code
    └── InterruptedRunError       128+  a signal ended the run; start it again

Every message is one line that names what, where and what to do. ``exit_code`` follows sysexits(3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class KizamiError(Exception):
    """Root of all errors Kizami raises on purpose."""

    exit_code: ClassVar[int] = 70

    @property
    def details(self) -> Mapping[str, Any]:
        """What ``--json`` tells beside the message."""
        return {}


class ConfigurationError(KizamiError):
    """The configuration or the command asks for something that does not exist or makes no sense."""

    exit_code = 78


class DataError(KizamiError):
    """The data does not allow to go on: a truncated file, an empty corpus, a closed gate. Nothing was published."""

    exit_code = 65


class GateClosedError(DataError):
    """A gate is closed: the snapshot is in the store with its manifest, and no reader sees it."""

    def __init__(self, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Mapping[str, Any]:
        """The snapshot and all of its gates."""
        return self._details


class UnavailableError(KizamiError):
    """The store, the source or Ray did not answer, after retries."""

    exit_code = 69


class LastingError(UnavailableError):
    """Something is away and stays so for this run: a file that was listed is gone, a host has other versions installed.

    Another attempt within the run would find the same.
    """


class CommitStateUnknownError(UnavailableError):
    """A commit was sent and its answer lost for good: it may or may not be in effect.

    Whoever takes the lock next reads ``head.json`` and finishes the commit if it is there.
    """


class LockHeldError(KizamiError):
    """Another run holds the corpus's lock."""

    exit_code = 75


class LockLostError(KizamiError):
    """This run lost its lock to another one, or could not renew it in time; it must not publish."""

    exit_code = 75


class RunExistsError(KizamiError):
    """A run of this id is in the ledger already: it does not run twice."""

    exit_code = 75


class DeadlineError(KizamiError):
    """The run, or one of its parts, took longer than its limit. Nothing was published."""

    exit_code = 124


class SubmittedRunError(KizamiError):
    """A run that was waited for did not end well; ``exit_code`` is the run's own."""

    def __init__(self, message: str, exit_code: int, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self._exit_code = exit_code
        self._details = details

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # that of another process
        """As the ledger has it."""
        return self._exit_code

    @property
    def details(self) -> Mapping[str, Any]:
        """The run's entry in the ledger, where there is one."""
        return self._details


class InterruptedRunError(KizamiError):
    """A signal asked the run to stop. ``exit_code`` is 128 + the signal's number."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number

    def __str__(self) -> str:
        return f"interrupted by signal {self.signal_number}: nothing was published; start the run again to go on"

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # the one error whose code depends on its cause
        """128 + the signal's number: 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signal_number
