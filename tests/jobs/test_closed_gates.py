"""What keeps a snapshot from readers, on Ray: a closed gate leaves it in the store, and one command publishes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kizami import layout
from kizami.errors import GateClosedError
from kizami.gates import GateName
from kizami.ledger import State
from kizami.partfile import PartWriter
from kizami.readers import find_manifest
from kizami.stores import open_store
from kizami_jobs.cli import main
from support.job import configuration, kizami, run
from support.kitchen import Recipe, expected_texts, recipes, write_jsonl
from support.store_contents import head, ledger, published, staged

pytestmark = pytest.mark.ray

YESTERDAY, TODAY = "2026-11-22", "2026-11-23"


def scene(
    folder: Path, today: list[Recipe], *, yesterday: list[Recipe] | None = None, store: str = "./store", gates: str = ""
) -> Path:
    """The configuration of a corpus that has yesterday's snapshot, and today's documents."""
    write_jsonl(folder / YESTERDAY / "a.jsonl", yesterday or recipes(60))
    write_jsonl(folder / TODAY / "a.jsonl", today)
    config = configuration(
        folder, store=store, source="./{date}", more=f"[corpora.recipes.gates]\n{gates}" if gates else ""
    )
    run(config, day=YESTERDAY)
    return config


def mistaken(documents: list[Recipe]) -> list[Recipe]:
    """Documents whose UTF-8 was read as Latin-1."""
    return [{**document, "title": document["title"].encode().decode("latin-1")} for document in documents]


def numbered(documents: list[Recipe], first: int) -> list[Recipe]:
    """The same documents again under new ids."""
    return [{**document, "recipe_id": f"again-{first + at}"} for at, document in enumerate(documents)]


def numbers_as_titles(documents: list[Recipe]) -> list[Recipe]:
    """Documents with a number where text belongs."""
    return [{**document, "title": 7} for document in documents]


CASES: dict[str, tuple[Callable[[], list[Recipe]], str, str]] = {
    "rows lost": (lambda: recipes(20), "", "rows_lost"),
    "rows gained": (lambda: recipes(60) + numbered(recipes(60), 60), 'rows_gained = "50%"\n', "rows_gained"),
    "another encoding": (lambda: mistaken(recipes(60)), "", "unknown_rise"),
    "too much quarantine": (
        lambda: [*recipes(55), *numbers_as_titles(recipes(5, 55))],
        'quarantined = "5%"\n',
        "quarantined",
    ),
    "an absolute limit": (lambda: recipes(61), 'unknown = "0.01%"\n', "unknown"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_closed_gate_publishes_nothing(
    case: str, local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 65; readers stay with yesterday's; figure and limit are in the message, the manifest, the ledger and the
    JSON; the command of the message publishes it."""
    make, gates, name = CASES[case]
    documents = make()
    config = scene(tmp_path, documents, gates=gates.replace("0.01%", "100%"))
    if "0.01%" in gates:
        config = configuration(tmp_path, store="./store", source="./{date}", more=f"[corpora.recipes.gates]\n{gates}")
    store = str(tmp_path / "store")
    before = published(store).pointer
    code, answer, err = kizami(capsys, "run", "recipes", "--date", TODAY, "--config", config)
    assert (code, answer["error"], answer["exit_code"]) == (65, "GateClosedError", 65)
    assert published(store).pointer == before
    snapshot = answer["snapshot"]
    told = {gate["name"]: gate for gate in answer["gates"]}
    assert list(told) == list(GateName)
    assert [gate["name"] for gate in answer["gates"] if not gate["open"]] == [name]
    assert told[name]["value"] > told[name]["limit"]
    assert re.search(
        rf"^gates: reconciliation 0 \(limit 0\), .*{name} \S+ % \(limit \S+ %, closed\)", err, re.MULTILINE
    )
    assert err.splitlines()[-1].startswith(f"kizami: {snapshot} of recipes, {TODAY}, is not published: {name} ")
    entry = ledger(store)[0]
    assert (entry.state, entry.exit_code, entry.snapshot) == (State.HELD, 65, snapshot)
    manifest = find_manifest(open_store(store), "recipes", snapshot)
    assert entry.gates == manifest.gates
    assert [gate.name for gate in manifest.gates if not gate.open] == [name]
    assert manifest.predecessor == before.snapshot
    assert head(store).holder is None
    assert staged(store) == []
    (command,) = re.findall(r"`kizami (publish recipes \S+ --force)`", answer["message"])
    assert kizami(capsys, *command.removesuffix(" --force").split(), "--config", config)[0] == 65
    assert kizami(capsys, *command.split(), "--config", config)[0] == 0
    forced = published(store)
    assert (forced.pointer.snapshot, forced.pointer.date) == (snapshot, TODAY)
    assert len(forced.texts()) + len(forced.quarantine()) == len(expected_texts(documents))
    assert run(config, day=TODAY).entry.state is State.UNCHANGED


@pytest.mark.s3
def test_a_closed_gate_on_s3(local_ray: int, tmp_path: Path, s3_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same where the store is at s3://, without force and with it."""
    config = scene(tmp_path, recipes(20), store=s3_url)
    before = published(s3_url).pointer
    code, answer, _ = kizami(capsys, "run", "recipes", "--date", TODAY, "--config", config)
    assert (code, published(s3_url).pointer) == (65, before)
    assert kizami(capsys, "publish", "recipes", answer["snapshot"], "--config", config)[0] == 65
    assert kizami(capsys, "publish", "recipes", answer["snapshot"], "--force", "--config", config)[0] == 0
    assert published(s3_url).texts() == expected_texts(recipes(20))


def test_a_first_run_and_a_growing_corpus_pass(local_ray: int, tmp_path: Path) -> None:
    """Nothing to compare with, then twice as many documents, then a few less; all gates are open and told."""
    for day, count in (("21", 30), ("22", 60), ("23", 57)):
        write_jsonl(tmp_path / f"2026-11-{day}" / "a.jsonl", recipes(count))
    config = configuration(tmp_path, store="./store", source="./{date}")
    first, second, third = (run(config, day=f"2026-11-{day}").entry for day in (21, 22, 23))
    values = {gate.name: gate.value for gate in first.gates}
    assert (values["rows_lost"], values["rows_gained"], values["unknown_rise"]) == (None, None, None)
    for entry in (first, second, third):
        assert [gate.name for gate in entry.gates] == list(GateName)
        assert all(gate.open for gate in entry.gates)
    assert {gate.name: gate.value for gate in third.gates}["rows_lost"] == pytest.approx(
        1 - third.counts.rows / second.counts.rows
    )


def test_rows_are_compared_with_the_nearest_earlier_date(local_ray: int, tmp_path: Path) -> None:
    """Filling in a date is judged by the one before it, not by the newest."""
    for day, count in (("20", 60), ("22", 58), ("23", 20)):
        write_jsonl(tmp_path / f"2026-11-{day}" / "a.jsonl", recipes(count))
    config = configuration(tmp_path, store="./store", source="./{date}")
    run(config, day="2026-11-20")
    with pytest.raises(GateClosedError):
        run(config, day="2026-11-23")
    loose = configuration(
        tmp_path, store="./store", source="./{date}", more='[corpora.recipes.gates]\nrows_lost = "off"\n'
    )
    run(loose, day="2026-11-23")
    assert run(config, day="2026-11-22").entry.state is State.PUBLISHED


def test_a_candidate_is_seen_by_nobody_until_it_is_published(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is complete in the store, named with the two commands that go on from it, and can be compared."""
    config = scene(tmp_path, recipes(58))
    store = str(tmp_path / "store")
    before = published(store).pointer
    assert main(["run", "recipes", "--date", TODAY, "--candidate", "--config", str(config)]) == 0
    text, _, folder, *steps = capsys.readouterr().out.splitlines()
    snapshot = folder.rstrip("/").rpartition("/")[2]
    assert text.startswith(f"candidate of {TODAY}: 58 documents, ")
    assert folder == f"{store}/{layout.snapshot_prefix('recipes', snapshot)}"
    assert steps == [
        f"not published; what it would change: kizami diff recipes latest {snapshot}",
        f"to publish it: kizami publish recipes {snapshot}",
    ]
    assert published(store).pointer == before
    assert not list(open_store(store).list(layout.date_key("recipes", TODAY)))
    assert (ledger(store)[0].state, ledger(store)[0].snapshot) == (State.CANDIDATE, snapshot)
    assert staged(store) == []
    code, diff, _ = kizami(capsys, *steps[0].partition("kizami ")[2].split(), "--config", config)
    assert (code, diff["b"]["snapshot"]) == (0, snapshot)
    code, answer, _ = kizami(capsys, *steps[1].partition("kizami ")[2].split(), "--config", config)
    assert (code, answer["run"]["state"]) == (0, "published")
    assert published(store).pointer.snapshot == snapshot
    assert published(store).texts() == expected_texts(recipes(58))


def test_a_candidate_tells_closed_gates_without_failing(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever asks for a candidate wants to look at it: exit 0, and what publishing would take."""
    config = scene(tmp_path, recipes(20))
    code, answer, _ = kizami(capsys, "run", "recipes", "--date", TODAY, "--candidate", "--config", config)
    assert (code, answer["run"]["state"], answer["snapshot"]["commit"]) == (0, "candidate", 0)
    snapshot = answer["snapshot"]["snapshot"]
    assert [gate["name"] for gate in answer["run"]["gates"] if not gate["open"]] == ["rows_lost"]
    assert main(["run", "recipes", "--date", TODAY, "--candidate", "--config", str(config)]) == 0
    *_, closed, command = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"closed: rows_lost \S+ % \(limit 20 %, closed\)", closed)
    assert re.fullmatch(r"to publish it: kizami publish recipes \S+ --force", command)
    assert kizami(capsys, "publish", "recipes", snapshot, "--config", config)[0] == 65


def test_surfaces_that_do_not_come_back_are_never_published(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part in staging that is complete, but whose texts are not those of its tokens, by force neither; the next run
    makes it anew."""
    config = scene(tmp_path, recipes(58))
    store = open_store(str(tmp_path / "store"))
    sound = find_manifest(store, "recipes", run(config, day=TODAY, candidate=True).pointer.snapshot)
    (part,) = sound.parts
    path = tmp_path / "part.parquet"
    store.download(layout.part_key("recipes", sound.snapshot, 0), path)
    rows = pq.read_table(path)
    starts = [[at + 1 for at in row] if number == 3 else row for number, row in enumerate(rows["start"].to_pylist())]
    field = rows.schema.field("start")
    broken = rows.set_column(rows.schema.names.index("start"), field, pa.array(starts, field.type))
    with PartWriter(path, fingerprint=sound.fingerprint, run="x") as writer:
        writer.write(broken)
        writer.finish([])
    store.upload(layout.staging_key("recipes", part.key), path)
    code, answer, _ = kizami(capsys, "run", "recipes", "--date", TODAY, "--config", config)
    assert code == 65
    assert [gate["name"] for gate in answer["gates"] if not gate["open"]] == ["surfaces"]
    assert "this cannot be forced" in answer["message"]
    assert "--force" not in answer["message"]
    assert kizami(capsys, "publish", "recipes", answer["snapshot"], "--force", "--config", config)[0] == 65
    assert run(config, day=TODAY).entry.state is State.PUBLISHED
    assert published(str(tmp_path / "store")).texts() == expected_texts(recipes(58))
