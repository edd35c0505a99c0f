"""Where a worker's time goes, by stage: ``python -m benchmarks.profile_worker``.

A timer interrupts the worker's path every few milliseconds and gives the time that has passed to the stage in which it
is found. A stage is a module, so the profile does not know the names of functions, and it costs next to nothing, where
a tracing profiler would make short functions look slow. What runs without Python's interpreter (MeCab, Arrow) counts
for whoever called it.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import fugashi
import pyarrow as pa

from benchmarks import worker_path
from benchmarks.inputs import bulk_excerpt, repeated_menus

_INTERVAL_SECONDS: Final = 0.002
_LISTED_FUNCTIONS: Final = 15

_STAGES: Final = (
    # (module and function begin with, stage); the innermost call that has one decides, of several lines the first.
    (f"{__name__}.ProfiledTagger", "MeCab: parse and print"),
    (f"{__name__}.", "other"),
    ("kizami.sources", "reading the source, text hashes"),
    ("kizami.texts", "reading the source, text hashes"),
    ("kizami.analysis.shown", "shown form"),
    ("kizami.analysis.sentences", "cutting sentences"),
    ("kizami.analysis.dictionary", "fingerprint of the dictionary, once a process"),
    ("kizami.analysis", "tokens to columns (and MeCab, where it is not called through fugashi's parse)"),
    ("pyarrow.parquet", "Parquet: written, counted, hashed"),
    ("kizami.partfile", "Parquet: written, counted, hashed"),
    ("kizami.parts", "sorting, part key"),
    ("kizami.stores", "store"),
    ("kizami.part_builder", "building the part, the rest"),
)


@dataclass
class Profile:
    """Seconds by stage, and by the function of Kizami that was running or had called what was."""

    stages: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    functions: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    samples: int = 0

    @property
    def seconds(self) -> float:
        """All of the time."""
        return sum(self.stages.values())

    def add(self, frame: FrameType | None, seconds: float) -> None:
        """Give seconds to the stage and function of a stack of calls."""
        self.samples += 1
        names = list(_calls(frame))
        found = (stage for name in names for prefix, stage in _STAGES if name.startswith(prefix))
        self.stages[next(found, "other")] += seconds
        own = next((name for name in names if name.startswith(("kizami", f"{__name__}.ProfiledTagger"))), "other")
        self.functions[own.removeprefix(f"{__name__}.")] += seconds

    def tables(self) -> Iterator[str]:
        """The profile as Markdown."""
        yield from ("| stage | seconds | share |", "|---|---|---|")
        yield from self._rows(self.stages, len(self.stages))
        yield from ("", "| function, with what it calls outside Kizami | seconds | share |", "|---|---|---|")
        yield from self._rows(self.functions, _LISTED_FUNCTIONS)

    def _rows(self, seconds_of: Mapping[str, float], limit: int) -> Iterator[str]:
        for name, seconds in sorted(seconds_of.items(), key=lambda item: -item[1])[:limit]:
            yield f"| {name} | {seconds:.2f} | {seconds / self.seconds:.1%} |"


def _calls(frame: FrameType | None) -> Iterator[str]:
    """Module and qualified name of each call of a stack, the innermost first."""
    while frame is not None:
        yield f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"
        frame = frame.f_back


class ProfiledTagger(fugashi.GenericTagger):  # type: ignore[misc]  # fugashi has no types
    """A Tagger whose parsing shows in a stack of Python calls."""

    def parse(self, text: str) -> str:
        """Parse as the Tagger does."""
        printed: str = super().parse(text)
        return printed


@contextmanager
def sampling(profile: Profile) -> Iterator[None]:
    """Profile this thread, on the wall clock, while the context is open."""
    last = time.perf_counter()

    def look(_number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.perf_counter()
        profile.add(frame, now - last)
        last = now

    previous = signal.signal(signal.SIGALRM, look)
    signal.siginterrupt(signal.SIGALRM, False)  # no system call is to be cut short
    signal.setitimer(signal.ITIMER_REAL, _INTERVAL_SECONDS, _INTERVAL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def profile_worker(source: Path, store: Path, fields: tuple[str, ...]) -> Profile:
    """Profile a worker's whole path."""
    profile = Profile()
    tagger: Any = fugashi.GenericTagger
    fugashi.GenericTagger = ProfiledTagger
    try:
        with sampling(profile):
            worker_path.build(source, store, fields)
    finally:
        fugashi.GenericTagger = tagger
    return profile


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_worker")
    parser.add_argument("--megabytes", type=float, default=15.0, help="text to analyse")
    parser.add_argument("--menus", action="store_true", help="school menus again and again, instead of literature")
    parsed = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory(prefix="kizami-bench-") as name:
        folder = Path(name)
        source = (repeated_menus if parsed.menus else bulk_excerpt)(folder, int(parsed.megabytes * 1e6))
        profile = profile_worker(source.documents, folder / "store", source.fields)
    print(f"{source.text_bytes / 1e6:.1f} MB of text in {profile.seconds:.2f} s on one core, from a cold start\n")
    print("\n".join(profile.tables()))


if __name__ == "__main__":
    main()
