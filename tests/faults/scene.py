"""Where the faults happen: two hosts, a corpus on S3, yesterday's snapshot in a store of each case's own."""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pyarrow as pa

from faults.outcome import Outcome, comparison, told
from faults.readers import COLUMNS, Readers
from kizami.ledger import RunEntry, State
from kizami.stores import open_store
from support import corpora
from support.job import configuration
from support.kizami_process import KizamiProcess
from support.s3_server import S3Server
from support.store_contents import Published, ledger, published
from support.two_hosts import HEAD, TwoHosts

CORPUS: Final = "recipes"
"""As support.job calls the one corpus of its configuration."""
FIELDS: Final = ("title", "body")
YESTERDAY, TODAY = "2026-11-22", "2026-11-23"
_FILES: Final = 4
_SHARE: Final = 8
"""Yesterday had every eighth document: today nearly all of every part is to be analysed."""
_PART_BYTES: Final = "256KiB"


@dataclass(frozen=True, slots=True)
class Lock:
    """Timing of the lock: how long a fault may take before it costs a run its lock."""

    beat: str
    expiry: str

    @property
    def toml(self) -> str:
        """As the configuration has it."""
        return f'[lock]\nbeat = "{self.beat}"\nexpiry = "{self.expiry}"\n'


BRIEF: Final = Lock("1s", "6s")
PATIENT: Final = Lock("2s", "30s")


class Scene:
    """The hosts with the corpus, and what a run makes of it undisturbed."""

    def __init__(self, hosts: TwoHosts, folder: Path) -> None:
        self.hosts = hosts
        self.folder = folder
        self._root = f"s3://{hosts.s3.bucket}/faults-{uuid.uuid4().hex[:8]}"
        self._environment: dict[str, str | None] = {}
        self.yesterday: Published
        self.undisturbed: pa.Table
        """All rows of today's snapshot."""
        self.parts = 0
        """Of today's snapshot."""
        self.texts: Counter[tuple[str, str, int, str]]
        """What its rows must be, told without any code of Kizami."""

    def __enter__(self) -> Scene:
        # This process reads the store directly, not by the hosts' door.
        self._environment = {name: os.environ.get(name) for name in self.hosts.s3.environment}
        os.environ.update(self.hosts.s3.environment)
        documents = list(corpora.documents("general_wikipedia.jsonl.gz"))
        source = open_store(f"{self._root}/source")
        for day, own in ((YESTERDAY, documents[::_SHARE]), (TODAY, documents)):
            for place in range(_FILES):
                lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in own[place::_FILES])
                source.put(f"{day}/part-{place}.jsonl", "".join(lines).encode())
        self.texts = Counter(
            (each["doc_id"], field, 0, each[field]) for each in documents for field in FIELDS if each[field] is not None
        )
        case = Case(self, "undisturbed", BRIEF)
        for day in (YESTERDAY, TODAY):
            if day == TODAY:
                self._copy("undisturbed", "yesterday")
                self.yesterday = published(f"{self._root}/yesterday", CORPUS)
            with case.run(HEAD, day=day) as run:
                if run.wait(120):
                    raise RuntimeError(f"a run without any fault failed: {run.stderr}")
        whole = published(case.store, CORPUS)
        self.undisturbed, self.parts = whole.rows(), len(whole.manifest.parts)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, value in self._environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    @contextmanager
    def case(self, lock: Lock = BRIEF) -> Iterator[Case]:
        """A store of its own with yesterday's snapshot, and readers of it; both hosts are well before and after."""
        name = f"case-{uuid.uuid4().hex[:8]}"
        self._copy("yesterday", name)
        case = Case(self, name, lock)
        self.hosts.restore()
        try:
            with case.readers:
                yield case
        finally:
            self.hosts.restore()

    def store(self, name: str) -> str:
        """URL of a store."""
        return f"{self._root}/{name}"

    @property
    def source(self) -> str:
        """The source, as the configuration has it."""
        return f"{self._root}/source/{{date}}/*.jsonl"

    def _copy(self, name: str, other: str) -> None:
        store = open_store(self._root)
        for info in store.list(f"{name}/"):
            store.copy(info.key, f"{other}/{info.key.removeprefix(f'{name}/')}")


@dataclass
class Case:
    """One fault: its store, its runs, its readers."""

    scene: Scene
    name: str
    lock: Lock
    codes: list[int] = field(default_factory=list)
    """Exit codes of the runs, in the order of their ends."""
    said: list[str] = field(default_factory=list)
    """The last line of each of them."""
    readers: Readers = field(init=False)
    config: Path = field(init=False)

    def __post_init__(self) -> None:
        self.config = configuration(
            self.scene.folder / self.name,
            store=self.store,
            source=self.scene.source,
            part_bytes=_PART_BYTES,
            fields=FIELDS,
            id_column="doc_id",
            head=self.lock.toml,
            more='[corpora.recipes.gates]\nrows_gained = "off"\n',
        )
        self.readers = Readers(self.store, CORPUS, self._known)

    @property
    def hosts(self) -> TwoHosts:
        """The two hosts."""
        return self.scene.hosts

    @property
    def s3(self) -> S3Server:
        """The S3 server."""
        return self.scene.hosts.s3

    @property
    def store(self) -> str:
        """URL of the store."""
        return self.scene.store(self.name)

    def run(self, host: str, *, day: str = TODAY) -> KizamiProcess:
        """Today's run, from a host."""
        return self.hosts.kizami(host, "run", CORPUS, "--date", day, "--config", self.config, "--json")

    def ended(self, run: KizamiProcess, timeout: float = 90.0) -> int:
        """Wait for the end of a run; its exit code, which is noted."""
        code = run.wait(timeout)
        self.codes.append(code)
        self.said.append((run.stderr.splitlines() or [""])[-1])
        return code

    def run_until_free(self, host: str, patience: int = 40) -> int:
        """Start runs, as a scheduler would, until one is not refused for the lock; its exit code."""
        for _ in range(patience):
            with self.run(host) as run:
                if run.wait() != 75:
                    return self.ended(run)
        raise TimeoutError(f"the lock was held through {patience} runs")

    def entries(self) -> list[RunEntry]:
        """The ledger since yesterday, the oldest first, runs that were refused left out."""
        before = {entry.run for entry in ledger(self.scene.store("yesterday"), CORPUS)}
        since = [entry for entry in ledger(self.store, CORPUS)[::-1] if entry.run not in before]
        return [entry for entry in since if entry.state is not State.REFUSED]

    def outcome(self, fault: str) -> Outcome:
        """What came of it all, the readers having read once more."""
        self.readers.stop()
        found = published(self.store, CORPUS)
        rows = found.rows()
        today = found.pointer.date == TODAY
        expected = self.scene.texts if today else _texts(self.scene.yesterday.rows())
        whole = self.scene.undisturbed if today else self.scene.yesterday.rows()
        lost, doubled, foreign = comparison(expected, _texts(rows))
        return Outcome(
            fault=fault,
            codes=tuple(self.codes),
            said=tuple(self.said),
            published=found.pointer.date,
            rows=rows.num_rows,
            lost=lost,
            doubled=doubled,
            foreign=foreign,
            same_tokens=rows.equals(whole),
            reads=self.readers.reads,
            disturbed=self.readers.disturbed,
            store_away=self.readers.store_away,
            ledger=told(self.entries()),
        )

    def _known(self) -> list[pa.Table]:
        return [self.scene.yesterday.rows(COLUMNS), self.scene.undisturbed.select(COLUMNS)]


def _texts(rows: pa.Table) -> Counter[tuple[Any, ...]]:
    columns = rows.select(["doc_id", "field", "position", "text"]).to_pydict()
    return Counter(zip(*columns.values(), strict=True))
