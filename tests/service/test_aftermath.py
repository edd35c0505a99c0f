"""The aftermath of runs and checks: figures and notices, whatever dies or fails at whatever moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kizami import layout
from kizami.aftermath import after_check, after_run
from kizami.config import Config, CorpusConfig
from kizami.errors import UnavailableError
from kizami.ledger import ErrorEntry, Ledger, RunCounts, RunEntry, State
from kizami.metrics import HELP
from kizami.punctuality import Outcome, Punctuality
from kizami.record import now, timestamp
from kizami.stores import ObjectStore
from kizami.undertaking import undertaking
from kizami.webhook import VARIABLE
from support.crashing_store import killed, requests_of
from support.memory_store import MemoryStore
from support.publishing import CORPUS
from support.webhook_server import WebhookServer

TODAY = timestamp(now())
COUNTS = RunCounts(texts=200, rows=190, quarantined=10, texts_analysed=50, texts_reused=150)


def entry(run: str, state: State, **changes: Any) -> RunEntry:
    """A run that ended just now."""
    made = RunEntry(run, "run", CORPUS, "2026-11-27", state, "analyse", TODAY, ended_at=TODAY, exit_code=0)
    if state is State.FAILED:
        made = replace(made, exit_code=69, error=ErrorEntry("UnavailableError", "the store does not answer"))
    if state is State.PUBLISHED:
        made = replace(
            made, snapshot="s", counts=COUNTS, stage_seconds={"read": 1.0, "analyse": 10.0}, worker_cpu_seconds=17.5
        )
    return replace(made, **changes)


@dataclass
class House:
    """A store with a ledger, a configuration, a webhook, and what was said."""

    server: WebhookServer
    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    said: list[str] = field(default_factory=list)
    metrics: bool = False

    @property
    def config(self) -> Config:
        corpus = CorpusConfig(CORPUS, "a.jsonl", "id", ("title",))
        folder = str(self.folder) if self.metrics else None
        return Config("memory", {CORPUS: corpus, "novels": replace(corpus, name="novels")}, textfile_directory=folder)

    def ends(self, ended: RunEntry, store: ObjectStore | None = None) -> None:
        """A run has written its entry, and then its aftermath."""
        Ledger(self.store, ended.corpus).write(ended)
        after_run(self.config, store or self.store, self.said.append, ended)

    def check(self, outcome: Outcome, run: str | None = None) -> None:
        """A check has found this."""
        answer = Punctuality(CORPUS, "2026-11-27", outcome, "why", None if outcome.is_well else "kizami run", run)
        after_check(self.config, self.store, self.said.append, answer)

    def events(self) -> list[str]:
        """What the webhook took, without corpus and store."""
        return [each.event.removeprefix(f"{CORPUS}.").rpartition(".")[0] for each in self.server.taken]

    def figures(self, corpus: str = CORPUS) -> dict[str, float]:
        """The metrics as Prometheus reads them; a state's own is the one that is 1."""
        text = (self.folder / f"kizami_{corpus}.prom").read_text("utf-8")
        found = {}
        for family in text_string_to_metric_families(text):
            assert family.documentation == HELP[family.name]
            for sample in family.samples:
                assert sample.labels["corpus"] == corpus
                if sample.value or "state" not in sample.labels:
                    found[sample.name + sample.labels.get("state", "")] = sample.value
        return found


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """With a webhook that takes everything."""
    with WebhookServer() as server:
        monkeypatch.setenv(VARIABLE, server.url)
        yield House(server, tmp_path)


def test_a_failure_and_a_recovery_are_told(house: House) -> None:
    """Each with the run, the cause and the command; what goes well every day is not."""
    house.ends(entry("r1", State.PUBLISHED))
    house.ends(entry("r2", State.FAILED))
    house.ends(entry("r3", State.UNCHANGED, snapshot="s"))
    house.ends(entry("r4", State.PUBLISHED))
    failed, recovered = house.server.deliveries
    assert failed.text == (
        "kizami: recipes 2026-11-27: failed: run r2 ended with 69 at analyse: UnavailableError: the store does not "
        "answer; type: kizami run recipes --date 2026-11-27 --as-of-now"
    )
    assert recovered.text == (
        "kizami: recipes 2026-11-27: recovered: run r3 found it published (s); type: kizami history recipes --limit 1"
    )
    assert house.events() == ["r2.failed", "r3.recovered"]
    assert house.said == []


def test_a_refused_run_is_nobodys_business(house: House) -> None:
    """Another one holds the lock."""
    house.metrics = True
    house.ends(entry("r1", State.REFUSED, exit_code=75))
    assert house.server.deliveries == []
    assert list(house.folder.iterdir()) == []


def test_what_many_refused_starts_surround_is_told(house: House) -> None:
    """Forty-nine starts that were refused after this one do not hide it: not from the figures, nor the failure before
    it that it ends."""
    house.metrics = True
    Ledger(house.store, CORPUS).write(entry("r0", State.FAILED))
    for number in range(49):
        Ledger(house.store, CORPUS).write(entry(f"r2-{number:02}", State.REFUSED, exit_code=75))
    house.ends(entry("r1", State.PUBLISHED))
    assert house.events() == ["r0.failed", "r1.recovered"]
    found = house.figures()
    assert found["kizami_rows"] == 190
    assert found["kizami_last_run_statepublished"] == 1


def test_what_the_webhook_did_not_take_comes_again(house: House) -> None:
    """With the next run or check, under the same id; it is said without the URL, and the run ends as it has."""
    house.server.fail(500, 503)
    house.ends(entry("r1", State.FAILED))
    house.ends(entry("r2", State.FAILED))
    assert [each.event for each in house.server.deliveries] == [house.server.deliveries[0].event] * 2
    assert house.said == [
        f"the webhook of {VARIABLE} was not told: HTTP {status}; the next run or check tells it again"
        for status in (500, 503)
    ]
    house.check(Outcome.NOT_YET)
    assert house.events() == ["r1.failed", "r2.failed"]
    house.check(Outcome.NOT_YET)
    assert len(house.server.taken) == 2


def test_a_lateness_is_told_once(house: House) -> None:
    """However often the monitor asks; each new state of the date once, and the run that ends it."""
    for outcome, run in [
        (Outcome.NOT_YET, None),
        (Outcome.NOT_STARTED, None),
        (Outcome.NOT_STARTED, None),
        (Outcome.RUNNING_LATE, "r1"),
        (Outcome.RUNNING_LATE, "r1"),
    ]:
        house.check(outcome, run)
    house.ends(entry("r1", State.FAILED))
    house.check(Outcome.FAILED, "r1")
    house.ends(entry("r2", State.PUBLISHED))
    house.check(Outcome.PUBLISHED)
    assert house.events() == ["2026-11-27.not-started", "2026-11-27.running-late", "r1.failed", "r2.recovered"]
    assert house.server.taken[0].text == "kizami: recipes 2026-11-27: not started: why; type: kizami run"


def test_a_run_that_was_late_recovers(house: House) -> None:
    """Though no run failed."""
    house.check(Outcome.RUNNING_LATE, "r1")
    house.ends(entry("r1", State.PUBLISHED))
    house.ends(entry("r2", State.UNCHANGED))
    assert house.events() == ["2026-11-27.running-late", "r1.recovered"]


def test_a_run_without_the_url_is_told_by_the_check(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the monitor's host has to know it: runs on a cluster need not."""
    monkeypatch.delenv(VARIABLE)
    house.ends(entry("r1", State.FAILED))
    house.ends(entry("r2", State.PUBLISHED))
    assert not any("notices" in key for key in house.store.objects)
    monkeypatch.setenv(VARIABLE, house.server.url)
    house.check(Outcome.PUBLISHED)
    assert house.events() == ["r1.failed", "r2.recovered"]


def test_a_run_that_died_is_told_once(house: House) -> None:
    """By the check that finds it, and not again when the next run closes its entry."""
    died = entry("r1", State.STARTED, ended_at=None, exit_code=None)
    Ledger(house.store, CORPUS).write(died)
    house.check(Outcome.DIED, "r1")
    assert house.server.taken[0].text.startswith(
        "kizami: recipes 2026-11-27: failed, died: run r1 ended at analyse without a word"
    )
    Ledger(house.store, CORPUS).close_dead("r1", TODAY, None)
    house.ends(entry("r2", State.PUBLISHED))
    assert house.events() == ["r1.failed", "r2.recovered"]


@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
def test_a_crash_loses_no_notice(house: House, carried_out: bool) -> None:
    """Whichever request to the store the process dies at, the next check tells it, under one id."""
    failed = entry("r1", State.FAILED)

    def aftermath(store: ObjectStore) -> None:
        after_run(house.config, store, house.said.append, failed)

    requests = None
    crash_at = 0
    while requests is None or crash_at < requests:
        house.store = MemoryStore()
        Ledger(house.store, CORPUS).write(failed)
        if requests is None:
            requests = requests_of(house.store, aftermath)
            assert requests > 5
            continue
        house.server.deliveries.clear()
        killed(house.store, aftermath, crash_at, carried_out=carried_out)
        house.check(Outcome.FAILED, "r1")
        assert set(house.events()) == {"r1.failed"}
        assert len(house.events()) <= 2
        house.check(Outcome.FAILED, "r1")
        assert len(house.events()) <= 2
        crash_at += 1


class AwayStore(MemoryStore):
    """A store that does not answer."""

    def get(self, key: str) -> Any:
        raise UnavailableError(f"{key}: no answer")

    def list(self, prefix: str) -> Any:
        raise UnavailableError(f"{prefix}: no answer")

    def create(self, key: str, body: bytes) -> str:
        raise UnavailableError(f"{key}: no answer")


def test_a_store_that_is_away_is_told_at_once(house: House) -> None:
    """There is nowhere to keep the notice: it is sent now, from what the run knows."""
    after_run(house.config, AwayStore(), house.said.append, entry("r1", State.FAILED))
    assert house.events() == ["r1.failed"]
    assert "UnavailableError: the store does not answer" in house.server.taken[0].text
    house.server.fail(500)
    after_run(house.config, AwayStore(), house.said.append, entry("r2", State.FAILED))
    assert house.said[-1] == f"the webhook of {VARIABLE} was not told: HTTP 500; the next run or check tells it again"
    assert all("no answer; nothing else is affected" in line for line in house.said[:-1])


def test_an_undertaking_tells_of_its_end(house: House) -> None:
    """Once, the lock given back: well, by an error, and where not even its entry could be written."""
    told: list[RunEntry] = []

    def work(store: ObjectStore, error: Exception | None) -> None:
        lock = house.config.lock
        begun = entry(f"r{len(told)}", State.STARTED, ended_at=None, exit_code=None)
        with undertaking(store, lock, begun, say=house.said.append, on_end=told.append) as held:
            if error:
                raise error
            held.record.end(State.PUBLISHED)
            assert told == []

    work(house.store, None)
    assert b'"holder": null' in house.store.objects[layout.head_key(CORPUS)][0]
    with pytest.raises(UnavailableError, match="Ray"):
        work(house.store, UnavailableError("Ray"))
    with pytest.raises(UnavailableError, match="no answer"):
        work(AwayStore(), None)
    assert [(each.state, each.exit_code) for each in told] == [
        (State.PUBLISHED, 0),
        (State.FAILED, 69),
        (State.FAILED, 69),
    ]


def test_the_text_is_one_line_without_the_url(house: House) -> None:
    """Neither the store nor what is said has the URL in it."""
    house.server.fail(500)
    house.ends(entry("r1", State.FAILED, error=ErrorEntry("DataError", "two\nlines")))
    house.check(Outcome.FAILED, "r1")
    assert all("\n" not in each.text for each in house.server.deliveries)
    kept = b"".join(body for body, _ in house.store.objects.values())
    assert WebhookServer.SECRET.encode() not in kept
    assert WebhookServer.SECRET not in "".join(house.said)


def test_notices_keep_no_message(house: House) -> None:
    """An error's message may quote the id of a document that is forgotten later: it stands in the ledger alone."""
    house.server.fail(500)
    message = "a.jsonl has no document 'sample-404'"
    house.ends(entry("r1", State.FAILED, error=ErrorEntry("DataError", message)))
    assert message in house.server.deliveries[0].text
    holding = [key for key, (body, _) in house.store.objects.items() if b"sample-404" in body]
    assert holding == [layout.run_key(CORPUS, "r1")]


def test_the_figures_are_those_of_the_ledger(house: House) -> None:
    """Of the last run, the last success and failure, and the last snapshot; with the processor time of workers."""
    house.metrics = True
    house.ends(entry("r1", State.FAILED, ended_at="2026-11-26T01:00:00Z"))
    house.ends(
        entry("r2", State.PUBLISHED, started_at="2026-11-27T01:00:00Z", ended_at="2026-11-27T01:01:30Z", verb="run")
    )
    assert house.figures() == {
        "kizami_last_success_timestamp_seconds": 1795741290.0,
        "kizami_last_failure_timestamp_seconds": 1795654800.0,
        "kizami_last_run_timestamp_seconds": 1795741290.0,
        "kizami_last_run_duration_seconds": 90.0,
        "kizami_last_run_exit_code": 0.0,
        "kizami_last_run_statepublished": 1.0,
        "kizami_rows": 190.0,
        "kizami_quarantined_texts": 10.0,
        "kizami_texts_per_second": 5.0,
        "kizami_reuse_ratio": 0.75,
        "kizami_worker_cpu_seconds": 17.5,
    }
    assert (house.folder / "kizami_recipes.prom").stat().st_mode & 0o777 == 0o644


def test_a_failure_keeps_the_last_success(house: House) -> None:
    """It changes what there is to say of the last run and failure, and of nothing else; a dead run has no code."""
    house.metrics = True
    house.ends(entry("r1", State.PUBLISHED, ended_at="2026-11-27T01:00:00Z"))
    before = house.figures()
    house.ends(entry("r2", State.FAILED, ended_at="2026-11-27T02:00:00Z"))
    after = house.figures()
    assert after["kizami_last_run_exit_code"] == 69
    assert after["kizami_last_run_statefailed"] == 1
    assert after["kizami_last_failure_timestamp_seconds"] == before["kizami_last_run_timestamp_seconds"] + 3600
    assert {name: after[name] for name in before if "last_run" not in name} == {
        name: before[name] for name in before if "last_run" not in name
    }
    died = entry("r3", State.DIED, exit_code=None)
    Ledger(house.store, CORPUS).write(died)
    house.check(Outcome.DIED, "r3")
    assert "kizami_last_run_exit_code" not in house.figures()
    assert house.figures()["kizami_last_run_statedied"] == 1


def test_a_store_that_is_away_keeps_the_figures(house: House) -> None:
    """The last success stays as the file has it; the failure is added. So does what is beyond the newest entries."""
    house.metrics = True
    house.ends(entry("r1", State.PUBLISHED))
    before = house.figures()
    after_run(house.config, AwayStore(), house.said.append, entry("r2", State.FAILED))
    assert house.figures()["kizami_last_run_statefailed"] == 1
    for name in ("kizami_rows", "kizami_last_success_timestamp_seconds", "kizami_worker_cpu_seconds"):
        assert house.figures()[name] == before[name]
    for number in range(10, 40):
        house.ends(entry(f"r{number}", State.FAILED))
    assert house.figures()["kizami_rows"] == before["kizami_rows"]


def test_corpora_do_not_erase_each_other(house: House) -> None:
    """Each has a file of its own."""
    house.metrics = True
    house.ends(entry("r1", State.PUBLISHED))
    house.ends(entry("r2", State.FAILED, corpus="novels"))
    assert house.figures()["kizami_last_run_statepublished"] == 1
    assert house.figures("novels")["kizami_last_run_statefailed"] == 1


@pytest.mark.parametrize("wrong", ["no folder", "a file", "damaged"])
def test_metrics_that_cannot_be_written_fail_nothing(house: House, wrong: str) -> None:
    """It is said in a line. A damaged file is written anew."""
    house.metrics = True
    path = house.folder / "kizami_recipes.prom"
    if wrong == "damaged":
        path.write_text("kizami_rows{corpus=\n")
    else:
        house.folder = house.folder / "absent"
        if wrong == "a file":
            house.folder.write_text("")
    house.ends(entry("r1", State.PUBLISHED))
    if wrong == "damaged":
        assert house.figures()["kizami_rows"] == 190
        assert house.said == []
    else:
        (line,) = house.said
        assert line.startswith("metrics and webhook: ")
        assert str(house.folder) in line
        assert line.endswith("; nothing else is affected")


@pytest.mark.parametrize("spoil", [layout.run_key(CORPUS, "r0"), "v1/recipes/notices/pending/x.json"])
def test_a_damaged_object_fails_no_run(house: House, spoil: str) -> None:
    """It is named, and whoever is to read it says so by its own exit code."""
    house.metrics = True
    house.store.put(spoil, b"{")
    house.ends(entry("r1", State.FAILED))
    assert any(spoil in line for line in house.said)


def test_every_event_has_the_stores_mark(house: House) -> None:
    """Two stores may have a corpus of one name: their ids differ, and one store's do not depend on a final slash."""

    def ids(url: str) -> str:
        house.server.deliveries.clear()
        house.store = MemoryStore()
        house.store.url = url
        house.check(Outcome.NOT_STARTED)
        return house.server.deliveries[0].event

    assert ids("s3://a/b") == ids("s3://a/b/") != ids("s3://a/c")
    assert ids("/棚").isascii()
