"""The verbs publish, verify, rollback and gc by the command line: what they print, how they end, what history tells."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kizami import layout
from kizami.gates import USUAL, Figures, judge
from kizami.lease import Lease
from kizami.stores import ObjectStore, open_store
from kizami_jobs.cli import main
from support.faulty_s3 import FaultyStore
from support.kizami_process import KizamiProcess
from support.publishing import CORPUS, head, holder, nobody_died
from support.shelf import folders, manifest, publish, put_candidate, put_snapshot, shown
from support.snapshot_factory import Recipe, publish_snapshot, recipes

DATES = ("2026-11-21", "2026-11-22", "2026-11-23")


def write_config(folder: Path, store: str, more: str = "") -> str:
    """A configuration of the corpus in a store; a lock that expires soon."""
    path = folder / "kizami.toml"
    path.write_text(
        f'store = "{store}"\n[lock]\nbeat = "1s"\nexpiry = "4s"\n'
        f'[corpora.{CORPUS}]\nsource = "a.jsonl"\nid = "id"\nfields = ["title"]\n{more}',
        "utf-8",
    )
    return str(path)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with a snapshot of each of three dates: a, b, c."""
    found = str(tmp_path / "store") if request.param == "local" else str(request.getfixturevalue("s3_url"))
    fill(open_store(found))
    return found


def fill(store: ObjectStore) -> None:
    """Publish a, b, c."""
    for snapshot, date in zip("abc", DATES, strict=True):
        publish(store, snapshot, date)


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    """A verb with ``--json``: exit code, the object on stdout, what stands on stderr."""
    capsys.readouterr()
    code = main([*arguments, "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out), printed.err


def test_rollback_says_what_it_did(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In lines and as an object; again it has nothing to do; `path` gives the snapshot gone back to."""
    config = write_config(tmp_path, url)
    assert main(["rollback", CORPUS, "b", "--config", config]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "recipes is back at b of 2026-11-22; withdrawn: c of 2026-11-23",
        "2026-11-23 has no snapshot any more; `kizami run recipes --date 2026-11-23 --as-of-now` makes a new one",
    ]
    assert shown(open_store(url)) == {"latest": "b", DATES[0]: "a", DATES[1]: "b"}
    assert main(["path", CORPUS, "--config", config]) == 0
    assert capsys.readouterr().out == f"{url}/v1/recipes/snapshots/b/\n"
    assert main(["path", CORPUS, "--date", DATES[2], "--config", config]) == 65
    code, told, _ = ask(capsys, "rollback", CORPUS, "c", "--config", config)
    assert code == 0
    assert (told["snapshot"]["snapshot"], told["snapshot"]["commit"]) == ("c", 5)
    assert (told["withdrawn"], told["dates"]) == ([], {DATES[2]: "c"})
    assert (told["run"]["verb"], told["run"]["state"], told["run"]["exit_code"]) == ("rollback", "done", 0)
    assert main(["rollback", CORPUS, "c", "--config", config]) == 0
    assert capsys.readouterr().out == "nothing to do: recipes is at c of 2026-11-23, and nothing is newer\n"


def test_rollback_to_nowhere_is_one_line(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 65, naming what there is; the ledger has it."""
    config = write_config(tmp_path, url)
    code, told, error = ask(capsys, "rollback", CORPUS, "d", "--config", config)
    assert (code, told["error"]) == (65, "DataError")
    assert error == (
        "kizami: no snapshot 'd' of recipes was published; there are: c (2026-11-23), b (2026-11-22), a (2026-11-21)\n"
    )
    _, told, _ = ask(capsys, "history", CORPUS, "--config", config)
    assert (told["runs"][0]["state"], told["runs"][0]["error"]["name"]) == ("failed", "DataError")


def test_publish_says_what_it_did(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In lines and as an object; what is odd about a candidate is told; again it has nothing to do."""
    config, store = write_config(tmp_path, url), open_store(url)
    put_candidate(store, "a2", DATES[0])
    put_candidate(store, "d", "2026-11-24")
    assert main(["publish", CORPUS, "d", "--config", config]) == 0
    folder = f"{url}/v1/recipes/snapshots"
    assert capsys.readouterr().out.splitlines() == ["published 2026-11-24: d, 2 rows", f"{folder}/d/"]
    assert main(["publish", CORPUS, "a2", "--config", config]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "published 2026-11-21: a2, 2 rows",
        "latest.json stays at d of 2026-11-24",
        "it was made from c; latest.json has moved to d since",
        f"{folder}/a2/",
    ]
    assert shown(store) == {"latest": "d", DATES[0]: "a2", DATES[1]: "b", DATES[2]: "c", "2026-11-24": "d"}
    code, told, _ = ask(capsys, "publish", CORPUS, "d", "--config", config)
    assert (code, told["is_latest"], told["forced"]) == (0, True, [])
    assert (told["snapshot"]["snapshot"], told["run"]["state"]) == ("d", "done")
    assert told["run"]["outcome"] == "nothing to do: 2026-11-24 shows d already"
    assert main(["history", CORPUS, "--config", config]) == 0
    again, outcome, published, *_ = capsys.readouterr().out.splitlines()
    assert re.search(r"  2026-11-24  publish    done         exit 0  ", again)
    assert outcome == "    nothing to do: 2026-11-24 shows d already"
    assert re.search(r"  2026-11-21  publish    published    exit 0  +2 rows ", published)


def test_publish_names_another_analysis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The candidate of another dictionary is told as one."""
    url = str(tmp_path / "store")
    store = open_store(url)
    fill(store)
    put_snapshot(store, replace(manifest("d", "2026-11-24", predecessor="c", after_commit=3), fingerprint="0" * 32))
    assert main(["publish", CORPUS, "d", "--config", write_config(tmp_path, url)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1] == f"its analysis is {'0' * 32}, that of c is {'f' * 32}"


def test_publish_of_what_a_gate_held_back(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """65 and the command to force it; forced it says past which gates."""
    config, store = write_config(tmp_path, url), open_store(url)
    figures = Figures(2, 2, 2, 2, 0, 0, 0, 0)
    put_candidate(store, "d", "2026-11-24", gates=tuple(judge(figures, USUAL, earlier_rows=100, earlier_unknown=0.0)))
    code, told, error = ask(capsys, "publish", CORPUS, "d", "--config", config)
    assert (code, told["error"], told["exit_code"], told["snapshot"]) == (65, "GateClosedError", 65, "d")
    assert [gate["name"] for gate in told["gates"] if not gate["open"]] == ["rows_lost"]
    assert error == f"kizami: {told['message']}\n"
    assert "publish it with `kizami publish recipes d --force`" in error
    assert main(["publish", CORPUS, "d", "--force", "--config", config]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "published 2026-11-24: d, 2 rows; forced: rows_lost 98 % (limit 20 %, closed)"
    )
    assert shown(store)["latest"] == "d"
    _, told, _ = ask(capsys, "history", CORPUS, "--config", config)
    assert [run["state"] for run in told["runs"][:2]] == ["published", "held"]
    assert told["runs"][0]["gates"] == told["runs"][1]["gates"]


def test_publish_of_what_is_not_there(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """65, one line, naming the candidates."""
    config, store = write_config(tmp_path, url), open_store(url)
    put_candidate(store, "d", "2026-11-24")
    code, told, error = ask(capsys, "publish", CORPUS, "e", "--config", config)
    assert (code, told["error"]) == (65, "DataError")
    assert error == "kizami: no snapshot 'e' of recipes is in the store; candidates: d (2026-11-24)\n"


@pytest.mark.parametrize(
    "arguments", [["publish", CORPUS, "a"], ["rollback", CORPUS, "a"], ["gc", CORPUS]], ids=" ".join
)
def test_a_held_lock_ends_with_75(
    arguments: list[str], url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is changed; who holds it is said, and the ledger has the refusal."""
    config, store = write_config(tmp_path, url), open_store(url)
    before = shown(store)
    with Lease.take(store, CORPUS, holder("run-9"), on_takeover=nobody_died):
        code, told, _ = ask(capsys, *arguments, "--config", config)
    assert (code, told["error"]) == (75, "LockHeldError")
    assert "run-9" in told["message"]
    assert shown(store) == before
    _, told, _ = ask(capsys, "history", CORPUS, "--config", config)
    assert (told["runs"][0]["verb"], told["runs"][0]["state"]) == (arguments[0], "refused")


def test_gc_keeps_as_many_dates_as_configured(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run says so first and changes nothing; the pointers go at once, the folders not within 24 hours."""
    config, store = write_config(tmp_path, url, "retention_dates = 1\n"), open_store(url)
    told = "retired 2026-11-21, 2026-11-22; 2 snapshots to be deleted after 24 h"
    before = {info.key for info in store.list("")}
    assert main(["gc", CORPUS, "--dry-run", "--config", config]) == 0
    assert capsys.readouterr() == (f"would do: {told}\n", "")
    assert {info.key for info in store.list("")} == before
    assert main(["gc", CORPUS, "--config", config]) == 0
    assert capsys.readouterr() == (f"{told}\n", "")
    assert shown(store) == {"latest": "c", DATES[2]: "c"}
    assert folders(store) == {"a", "b", "c"}
    code, again, _ = ask(capsys, "gc", CORPUS, "--config", config)
    assert code == 0
    assert {name: again[name] for name in ("dry_run", "retired", "snapshots", "objects", "size_bytes")} == {
        "dry_run": False,
        "retired": [],
        "snapshots": [],
        "objects": 0,
        "size_bytes": 0,
    }
    assert again["run"]["outcome"] == "nothing to clean up"


@pytest.mark.parametrize(
    "arguments",
    [["history"], ["publish", "a"], ["rollback", "a"], ["gc"], ["gc", "--dry-run"], ["verify"]],
    ids=" ".join,
)
def test_a_mistyped_store_is_told(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is no store without runs, and nothing makes it."""
    verb, *more = arguments
    config = write_config(tmp_path, str(tmp_path / "stoer"))
    code, told, error = ask(capsys, verb, CORPUS, *more, "--config", config)
    assert (code, told["error"]) == (78, "ConfigurationError")
    assert error == (
        f"kizami: the store {tmp_path / 'stoer'} does not exist: correct `store` in the configuration; "
        "the first `kizami run` makes it\n"
    )
    assert not (tmp_path / "stoer").exists()


def test_history_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each with the verb, and under it what it did."""
    url = str(tmp_path / "store")
    fill(open_store(url))
    config = write_config(tmp_path, url)
    main(["rollback", CORPUS, "a", "--config", config])
    main(["gc", CORPUS, "--config", config])
    capsys.readouterr()
    assert main(["history", CORPUS, "--config", config]) == 0
    gc, outcome, rollback, moved = capsys.readouterr().out.splitlines()
    assert re.search(r"  gc         done         exit 0  ", gc)
    assert outcome == "    2 snapshots to be deleted after 24 h"
    assert re.search(r"  2026-11-21  rollback   done         exit 0  ", rollback)
    assert moved == "    recipes is back at a of 2026-11-21; withdrawn: b of 2026-11-22, c of 2026-11-23"


def test_verify_passes_or_names_each_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 with counts, exit 1 with a line an object; it needs no lock."""
    url = str(tmp_path / "store")
    made = publish_snapshot(url, Recipe(recipes(20), part_bytes=600))
    config, store = write_config(tmp_path, url), open_store(url)
    size = sum(part.size_bytes for part in made.parts)
    with Lease.take(store, CORPUS, holder("run-9"), on_takeover=nobody_died):
        assert main(["verify", CORPUS, "--config", config]) == 0
    counts = f"{len(made.parts)} parts, {made.counts.rows} rows, {size:,} bytes"
    assert capsys.readouterr().out == f"{made.snapshot} of recipes, 2026-11-23: {counts}, as published\n"
    key = layout.part_key(CORPUS, made.snapshot, 0)
    store.delete([key])
    assert main(["verify", CORPUS, "--snapshot", made.snapshot, "--config", config]) == 1
    assert capsys.readouterr().out == f"{made.snapshot} of recipes, 2026-11-23: 1 fault\n{key} is missing\n"
    code, told, _ = ask(capsys, "verify", CORPUS, "--config", config)
    assert (code, told["snapshot"]) == (1, made.snapshot)
    assert told["faults"] == [{"key": key, "what": "is missing"}]
    assert main(["verify", CORPUS, "--snapshot", "x", "--config", config]) == 65


HELD = {
    "the commit": ("PUT", r"head\.json$", rb'"rollback": true', False, 3),
    "the pointer of its date": ("PUT", r"dates/2026-11-21\.json$", None, True, 4),
    "latest": ("PUT", r"latest\.json$", None, True, 4),
    "a date that vanishes": ("DELETE", r"dates/2026-11-2[23]\.json$", None, True, 4),
}


@pytest.mark.s3
@pytest.mark.parametrize("case", HELD)
def test_a_rollback_killed_on_s3_is_finished_by_the_next_verb(
    case: str, faulty_s3: FaultyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process killed at a request of its commit: readers find whole snapshots, and gc leaves all of it done, or
    none."""
    method, key, body, finished, commits = HELD[case]
    store = open_store(faulty_s3.url)
    fill(store)
    config = write_config(tmp_path, faulty_s3.url)
    rule = faulty_s3.proxy.hold(method, key, body=body)
    with KizamiProcess(["rollback", CORPUS, "a", "--config", config], tmp_path) as process:
        rule.await_reached()
        process.kill()
    rule.release(drop=True)
    faulty_s3.proxy.clear()
    assert shown(store)["latest"] == ("a" if case == "a date that vanishes" else "c")
    patience_ends = time.monotonic() + 30
    while (code := main(["gc", CORPUS, "--config", config])) == 75:
        assert time.monotonic() < patience_ends
        time.sleep(0.5)
    assert code == 0
    assert "rollback" in capsys.readouterr().err
    everything = {"latest": "c", **dict(zip(DATES, "abc", strict=True))}
    assert shown(store) == ({"latest": "a", DATES[0]: "a"} if finished else everything)
    assert head(store).commits == commits
    _, told, _ = ask(capsys, "history", CORPUS, "--config", config)
    died = next(run for run in told["runs"] if run["verb"] == "rollback")
    assert (died["state"], died["snapshot"]) == ("died", "a" if finished else None)


PUBLISHING = {
    "the commit": ("PUT", r"head\.json$", rb'"snapshot": "d",\n +"run"', False),
    "the pointer of its date": ("PUT", r"dates/2026-11-24\.json$", None, True),
    "latest": ("PUT", r"latest\.json$", None, True),
}


@pytest.mark.s3
@pytest.mark.parametrize("case", PUBLISHING)
def test_a_publish_killed_on_s3_is_finished_by_the_next_verb(
    case: str, faulty_s3: FaultyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process killed at a request of its commit: readers find whole snapshots, and gc leaves all of it done, or it
    is a candidate still."""
    method, key, body, finished = PUBLISHING[case]
    store = open_store(faulty_s3.url)
    fill(store)
    put_candidate(store, "d", "2026-11-24")
    config = write_config(tmp_path, faulty_s3.url)
    rule = faulty_s3.proxy.hold(method, key, body=body)
    with KizamiProcess(["publish", CORPUS, "d", "--config", config], tmp_path) as process:
        rule.await_reached()
        process.kill()
    rule.release(drop=True)
    faulty_s3.proxy.clear()
    before = {"latest": "c", **dict(zip(DATES, "abc", strict=True))}
    assert shown(store)["latest"] == "c"
    patience_ends = time.monotonic() + 30
    while (code := main(["gc", CORPUS, "--config", config])) == 75:
        assert time.monotonic() < patience_ends
        time.sleep(0.5)
    assert code == 0
    after = {**before, "latest": "d", "2026-11-24": "d"}
    assert shown(store) == (after if finished else before)
    assert main(["publish", CORPUS, "d", "--config", config]) == 0
    assert shown(store) == after
    assert head(store).commits == 4
    _, told, _ = ask(capsys, "history", CORPUS, "--config", config)
    died = next(run for run in told["runs"] if run["state"] == "died")
    assert (died["verb"], died["snapshot"]) == ("publish", "d" if finished else None)


@pytest.mark.s3
def test_a_gc_killed_on_s3_leaves_readers_alone(faulty_s3: FaultyStore, tmp_path: Path) -> None:
    """It dies with a deletion under way; what it had doomed nobody can go back to, and the next gc goes on."""
    store = open_store(faulty_s3.url)
    fill(store)
    put_snapshot(store, manifest("x"))
    store.delete([layout.manifest_key(CORPUS, "x")])
    with Lease.take(store, CORPUS, holder("gc-0"), on_takeover=nobody_died) as lease:
        lease.record(lambda catalogue: catalogue.with_doomed(["x"]))
    config = write_config(tmp_path, faulty_s3.url, "retention_dates = 2\n")
    rule = faulty_s3.proxy.hold("POST", r"/", body=rb"snapshots/x/")
    with KizamiProcess(["gc", CORPUS, "--config", config], tmp_path) as process:
        rule.await_reached()
        process.kill()
    rule.release(drop=True)
    faulty_s3.proxy.clear()
    left = {"latest": "c", DATES[1]: "b", DATES[2]: "c"}
    assert shown(store) == left
    assert "x" in folders(store)
    patience_ends = time.monotonic() + 30
    while main(["gc", CORPUS, "--config", config]) == 75:
        assert time.monotonic() < patience_ends
        time.sleep(0.5)
    assert shown(store) == left
    assert folders(store) == {"a", "b", "c"}


def test_sigterm_ends_it_with_143(tmp_path: Path) -> None:
    """While it waits for a silent holder; the ledger has it as interrupted."""
    url = str(tmp_path / "store")
    store = open_store(url)
    fill(store)
    config = write_config(tmp_path, url)
    lease = Lease.take(store, CORPUS, holder("silent"), on_takeover=nobody_died)
    lease._stop.set()
    key = layout.head_key(CORPUS)
    body = store.get(key).body.replace(b'"beat_seconds": 15.0', b'"beat_seconds": 1.0')
    store.put(key, body.replace(b'"expiry_seconds": 90.0', b'"expiry_seconds": 60.0'))
    time.sleep(2.1)
    with KizamiProcess(["gc", CORPUS, "--config", config], tmp_path) as process:
        patience_ends = time.monotonic() + 30
        while not list(store.list(layout.runs_prefix(CORPUS))):
            assert time.monotonic() < patience_ends
            time.sleep(0.05)
        process.interrupt()
        assert process.wait(60) == 143
    (info,) = store.list(layout.runs_prefix(CORPUS))
    assert json.loads(store.get(info.key).body)["state"] == "interrupted"
