"""Faults on a cluster of two hosts: each ends in a right snapshot, no reader notices, and the ledger has it all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest

from faults.outcome import LedgerLine, Outcome
from faults.report import ENGLISH, JAPANESE, REPORT, markdown
from faults.scene import CORPUS, TODAY, YESTERDAY, Scene
from faults.strikes import FAULTS, strike
from support import network
from support.s3_server import S3Server
from support.store_contents import ledger, published
from support.two_hosts import WORKER, TwoHosts

NEEDS_HOSTS = [pytest.mark.hosts, pytest.mark.s3, pytest.mark.ray, pytest.mark.shared]


@pytest.fixture(scope="module")
def scene(shared_corpora: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two hosts with yesterday's snapshot."""
    if obstacle := network.obstacle():
        pytest.skip(obstacle)
    folder = tmp_path_factory.mktemp("faults")
    with S3Server(folder / "s3") as s3, TwoHosts(s3) as hosts, Scene(hosts, folder) as made:
        yield made


def _states(outcome: Outcome) -> list[str]:
    return [line.state for line in outcome.ledger]


def _tried_again(outcome: Outcome) -> set[str]:
    return {what for line in outcome.ledger for what in line.failed_attempts}


@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS_HOSTS) for name in FAULTS])
def test_a_fault_costs_no_row_and_disturbs_no_reader(scene: Scene, name: str) -> None:
    """Today's snapshot is in the end that of an undisturbed run, in all columns; readers saw whole snapshots only."""
    outcome = strike(scene, name)
    assert outcome.is_right, outcome
    assert outcome.published == TODAY, outcome
    assert outcome.reads > 3
    assert outcome.store_away == 0 or name == "s3_restart", outcome
    assert outcome.codes.count(0) == 1, outcome
    states = _states(outcome)
    assert states[-1] == "published", outcome
    assert all(state in {"died", "failed", "published"} for state in states), outcome
    if name == "worker":
        assert (outcome.codes, _tried_again(outcome)) == ((0,), {"its worker died"})
    if name == "host":
        assert _tried_again(outcome), outcome
    if name in {"driver", "partition"}:
        assert states == ["died", "published"], outcome
        assert outcome.ledger[-1].parts_found > 0, outcome
    if name == "partition":
        assert outcome.codes[0] == 0  # the run from the other host, while the one cut off lived on
        # 75 for the lost lock, as a rule; Ray ends the processes of a host that it has given up, once it hears of it.
        assert outcome.codes[1] != 0, outcome
    if name == "s3_overload":
        assert outcome.codes == (0,)


@pytest.mark.hosts
@pytest.mark.s3
@pytest.mark.ray
@pytest.mark.shared
def test_a_job_submitted_to_the_two_hosts_ends_with_the_exit_code_of_its_run(scene: Scene) -> None:
    """`kizami submit` from the host that is not the head: the Jobs API runs it, the ledger says how it ended."""
    with scene.case() as case:
        submit = ("submit", CORPUS, "--address", scene.hosts.jobs_address, "--config", case.config, "--json")
        with scene.hosts.kizami(WORKER, *submit, "--date", TODAY, ray=False) as job:
            assert job.wait() == 0, job.stderr
            answer = json.loads(job.stdout)
        (entry,) = case.entries()
        assert answer["run"]["run"] == entry.run
        assert (entry.state, entry.exit_code) == ("published", 0)
        assert published(case.store, CORPUS).rows().equals(scene.undisturbed)
        with scene.hosts.kizami(WORKER, *submit, "--date", "2026-11-20", ray=False) as job:
            code = job.wait()
        failed = ledger(case.store, CORPUS)[0]
        assert (failed.date, failed.state, failed.exit_code) == ("2026-11-20", "failed", code)
        assert code not in {0, 1}  # all that Ray has to say


OUTCOME = Outcome(
    fault="partition",
    codes=(0, 75),
    said=("", ""),
    published=YESTERDAY,
    rows=9,
    lost=0,
    doubled=0,
    foreign=0,
    same_tokens=True,
    reads=12,
    disturbed=[],
    store_away=0,
    ledger=[
        LedgerLine("died", "analyse", None, None, {}, 0, 0),
        LedgerLine("published", "publish", 0, None, {"its host died": 2}, 8, 3),
    ],
)


@pytest.mark.parametrize(
    "harm", [{"lost": 1}, {"doubled": 1}, {"foreign": 1}, {"same_tokens": False}, {"disturbed": ["x"]}]
)
def test_harm_is_not_right(harm: dict[str, object]) -> None:
    """Anything that is lost, doubled, made up, analysed otherwise or seen by a reader makes an outcome wrong."""
    assert OUTCOME.is_right
    assert not replace(OUTCOME, **harm).is_right  # type: ignore[arg-type]


def test_the_table_has_what_the_record_has() -> None:
    """A row for each fault, in either language, with the ledger's own words."""
    record = {
        "scene": {"rows": 9949, "parts": 8, "cpus": 2, "ray": "2.60.0"},
        "outcomes": [asdict(replace(OUTCOME, fault=name)) for name in FAULTS],
    }
    for words in (ENGLISH, JAPANESE):
        rows = [line for line in markdown(record, words).splitlines() if line.startswith("|")]
        assert len(rows) == 2 + len(FAULTS)
        assert all(row.count("|") == 7 for row in rows)
    assert (
        "`died` at analyse<br>`published` at publish, exit 0; tried again: its host died (2); 3 of 8 parts" in rows[-1]
    )
    assert REPORT.refusal(record) is None
    assert REPORT.refusal({"outcomes": []}) == "it has not all faults: run `make faults` first"
