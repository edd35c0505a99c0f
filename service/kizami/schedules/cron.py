"""A crontab. The rules of quoting are those of crontab(5): the command goes to sh, and ``%`` would end it."""

from __future__ import annotations

import shlex
from typing import Final

from kizami.errors import ConfigurationError
from kizami.schedules import Schedule

_LONGEST: Final = 998
"""Characters of a command; Debian's cron refuses a longer one."""

_TABLE: Final = """\
# {description}, at {at:%H:%M} {zone}. To be added to a crontab (crontab -e).
# What cron cannot do:
#   a day missed while the host was down is not made up for: run it by hand with --date, or use systemd, or anacron
#     (its line is below, to be put into /etc/anacrontab instead; it knows no time of day);
#   two runs at once, and none at all, nobody notices: the lock lets one of them pass, and `kizami check` tells;
#   the exit code is lost: `kizami history {corpus}` has it.
# Debian's cron and BusyBox do not know CRON_TZ: there {at:%H:%M} is a time of the host's own zone.
# Credentials and KIZAMI_WEBHOOK_URL: as lines NAME=value above this one, in a crontab that others cannot read.
CRON_TZ={zone}
{at.minute} {at.hour} * * * {command}
# anacron: 1 15 kizami-{corpus} {plain}
"""


def table(schedule: Schedule) -> str:
    """The lines for a crontab. Raises ConfigurationError where cron would not take them."""
    limited = ("timeout", "--kill-after=60", str(schedule.timeout_seconds), *schedule.command)
    # All backslashes stand in single quotes, which are closed and opened again after each: crons differ in what they
    # make of a backslash before another one or before an escaped %.
    command = shlex.join(limited).replace("\\", "\\''").replace("%", r"\%")
    if len(command) > _LONGEST:
        raise ConfigurationError(f"cron takes commands of {_LONGEST} characters; this one has {len(command)}")
    return _TABLE.format(
        description=schedule.description,
        corpus=schedule.corpus,
        at=schedule.at,
        zone=schedule.zone,
        command=command,
        plain=shlex.join(limited),
    )
