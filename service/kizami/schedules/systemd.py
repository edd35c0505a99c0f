"""A service and its timer for systemd. The rules of quoting are those of systemd.syntax(7) and systemd.service(5)."""

from __future__ import annotations

import re
from typing import Final

from kizami.errors import ConfigurationError, LockHeldError
from kizami.schedules import Schedule

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:=@+,-]+")
_UNSAFE_IN_PROGRAM: Final = frozenset("\"'\\")
"""systemd refuses a program whose path has one of these."""

_STOPPED_HERE: Final = (
    "# SIGTERM to kizami alone: it stops its workers itself, says so in the ledger and gives the lock back."
)
_STOPPED_WAITING: Final = (
    "# SIGTERM ends the waiting alone: the run goes on on the cluster, where `time_limit` in the configuration ends it."
)

_SERVICE: Final = """\
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
# The colon: $ stands for itself.
ExecStart=:{command}
# AWS's and Ray's credentials, KIZAMI_WEBHOOK_URL; readable by root alone.
EnvironmentFile=-/etc/kizami/environment
{user}# Another run holds the lock: it makes the snapshot, so this one has not failed.
SuccessExitStatus={lock_held}
TimeoutStartSec={timeout}
{stopped}
KillMode=mixed
TimeoutStopSec=60
"""

_TIMER: Final = """\
[Unit]
Description={description}, every day at {at:%H:%M}

[Timer]
OnCalendar=*-*-* {at:%H:%M}:00 {zone}
# Missed while the host was down: made up for once, at the next start.
Persistent=true
RandomizedDelaySec={jitter}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def units(schedule: Schedule, user: str | None) -> dict[str, str]:
    """The files ``kizami-CORPUS.service`` and ``.timer``. Raises ConfigurationError for what systemd cannot express."""
    name = f"kizami-{schedule.corpus}"
    service = _SERVICE.format(
        description=schedule.description,
        command=command_line(schedule.command),
        user=f"User={user}\n" if user else "",
        lock_held=LockHeldError.exit_code,
        timeout=schedule.timeout_seconds,
        stopped=_STOPPED_WAITING if schedule.submits else _STOPPED_HERE,
    )
    timer = _TIMER.format(
        description=schedule.description, at=schedule.at, zone=schedule.zone, jitter=schedule.jitter_seconds
    )
    return {f"{name}.service": service, f"{name}.timer": timer}


def command_line(command: tuple[str, ...]) -> str:
    """A command as ``ExecStart=:`` takes it: quoted where necessary, and ``%``, which begins a specifier, doubled."""
    if _UNSAFE_IN_PROGRAM & set(command[0]):
        raise ConfigurationError(f"systemd takes no program with a quote or backslash in its path: {command[0]}")
    return " ".join(map(_quoted, command))


def _quoted(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
