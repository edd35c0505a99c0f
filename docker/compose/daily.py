"""The scheduler of compose.yaml: submits a corpus at once, and then every day. Elsewhere cron or systemd does this.

Arguments: the corpus, and the time of day, HH:MM in the time zone of TZ.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

LAST = Path("/tmp/last-exit")  # the container's own; the health check reads it


def seconds_until(clock: str, moment: datetime) -> float:
    """From a moment to the next time that the clock says so."""
    hour, minute = map(int, clock.split(":"))
    then = moment.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return ((then if then > moment else then + timedelta(days=1)) - moment).total_seconds()


def main(corpus: str, clock: str) -> None:
    """Submit and wait, for ever. A run that failed does not keep the next day's from its turn."""
    while True:
        code = subprocess.run(["kizami", "submit", corpus], check=False).returncode
        LAST.write_text(f"{code}\n")
        wait = seconds_until(clock, datetime.now().astimezone())
        print(f"exit {code}; next run of {corpus} in {wait / 3600:.1f} h", file=sys.stderr, flush=True)
        time.sleep(wait)


if __name__ == "__main__":
    main(*sys.argv[1:])
