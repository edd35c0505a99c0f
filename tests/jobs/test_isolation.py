"""One text that crashes MeCab or makes it hang: it is held back, and nothing else is."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from kizami.ledger import State
from kizami_jobs.cli import main
from support.job import configuration, run
from support.kitchen import Recipe, expected_texts, recipes, write_jsonl
from support.kizami_process import KizamiProcess
from support.plant.sitecustomize import CRASH, HANG, KILL_WORKER, RAISE
from support.store_contents import head, ledger, published, staged

pytestmark = pytest.mark.ray

DAY, NEXT_DAY = "2026-11-23", "2026-11-24"
PLANT = Path(__file__).parent.parent / "support" / "plant"
HANG_SECONDS = 8
"""How long MeCab may take here. A loaded machine needs some of it for sound texts; each hang costs it four times."""
PLANTED = 17
"""The recipe whose title MeCab does not survive."""
RAISED = "the analyser raised RuntimeError (sitecustomize.py, line {line})".format(
    line=1 + (PLANT / "sitecustomize.py").read_text().splitlines().index(" " * 16 + "raise RuntimeError(text)")
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A corpus of several parts with one text of that kind."""

    folder: Path
    config: Path
    documents: list[Recipe]

    @property
    def store(self) -> str:
        """URL of the store."""
        return str(self.folder / "store")

    def run(self, *more: str) -> KizamiProcess:
        """A run with a Ray of its own, in whose processes the failure is planted."""
        paths = os.pathsep.join(filter(None, [str(PLANT), os.environ.get("PYTHONPATH")]))
        arguments = ["run", "recipes", "--date", DAY, "--as-of-now", "--config", str(self.config), "--json", *more]
        return KizamiProcess(arguments, self.folder, {"PYTHONPATH": paths})


def _scene(folder: Path, word: str) -> Scene:
    documents = recipes(40)
    documents[PLANTED]["title"] = f"{word}の鍋"
    write_jsonl(folder / "recipes.jsonl", documents)
    more = f'hang_after = "{HANG_SECONDS}s"\n' if word == HANG else ""
    config = configuration(folder, store="./store", source="./recipes.jsonl", part_bytes="1KiB", more=more)
    return Scene(folder, config, documents)


def _without_the_text(documents: list[Recipe]) -> list[Recipe]:
    return [{**document, "title": None if i == PLANTED else document["title"]} for i, document in enumerate(documents)]


def _retries(stderr: str, part: int | str = r"\d+") -> list[str]:
    """The lines that tell of attempts that failed, without the number of the part."""
    return re.findall(rf"^part {part}: (.*)$", stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("word", "message", "attempt"),
    [
        pytest.param(CRASH, "MeCab crashed (SIGSEGV)", "its worker died", id="crash"),
        pytest.param(HANG, f"MeCab did not finish within {HANG_SECONDS} s", "its worker died", id="hang"),
        pytest.param(RAISE, RAISED, RAISED, id="exception"),
    ],
)
def test_a_text_that_mecab_does_not_survive_is_held_back_alone(
    local_ray: int, tmp_path: Path, word: str, message: str, attempt: str
) -> None:
    """The run publishes: the text is in quarantine with its reason and place, every other row is that of a run without
    the text, and the next run, under a sound MeCab, analyses it."""
    scene = _scene(tmp_path / "planted", word)
    with scene.run() as process:
        assert process.wait(240) == 0, process.stderr
        answer = json.loads(process.stdout)
        assert process.survivors() == []
    found = published(scene.store)
    assert found.quarantine() == [
        {
            "doc_id": scene.documents[PLANTED]["recipe_id"],
            "field": "title",
            "position": 0,
            "reason": "analysis_failed",
            "message": message,
            "file": str(tmp_path / "planted" / "recipes.jsonl"),
            "line": PLANTED + 1,
        }
    ]
    assert len(found.manifest.parts) > 4
    planted = found.manifest.parts.index(found.manifest.part_of(scene.documents[PLANTED]["recipe_id"]))
    wait = " after 1 s" if attempt == "its worker died" else ""
    # Another part may need a second attempt too, on a machine so loaded that sound texts seem to hang.
    assert _retries(process.stderr, planted) == [f"attempt 1 of 4: {attempt}; trying it again{wait}"]
    assert word not in process.stderr
    counts = answer["run"]["counts"]
    assert (counts["texts"], counts["quarantined"]) == (counts["rows"] + 1, 1)

    rest = _without_the_text(scene.documents)
    write_jsonl(tmp_path / "undisturbed" / "recipes.jsonl", rest)
    run(configuration(tmp_path / "undisturbed", store="./store", source="./recipes.jsonl"))
    assert found.texts() == expected_texts(rest)
    assert found.rows().equals(published(str(tmp_path / "undisturbed" / "store")).rows())

    entry = ledger(scene.store)[0]
    assert [each.what for each in entry.failed_attempts if each.part == planted] == [attempt]
    assert entry.quarantined_by_reason == found.manifest.counts.quarantined_by_reason == {"analysis_failed": 1}

    run(scene.config, day=NEXT_DAY, as_of_now=True)
    healed = published(scene.store)
    assert healed.quarantine() == []
    assert healed.manifest.counts.quarantined_by_reason == ledger(scene.store)[0].quarantined_by_reason == {}
    assert healed.texts() == expected_texts(scene.documents)


def test_what_failed_in_a_candidate_is_tried_again_by_the_next_run(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts of a snapshot that nobody published do not hide that a text can be analysed by now; history tells both."""
    scene = _scene(tmp_path, RAISE)
    with scene.run("--candidate") as process:
        assert process.wait(240) == 0, process.stderr
    assert staged(scene.store) == []
    run(scene.config, day=DAY, as_of_now=True)
    healed = published(scene.store)
    assert healed.quarantine() == []
    assert healed.texts() == expected_texts(scene.documents)
    assert main(["history", "recipes", "--config", str(scene.config)]) == 0
    after, before, *details = capsys.readouterr().out.splitlines()
    assert "  published    exit 0  " in after
    assert "  candidate    exit 0  " in before
    assert details[0] == "    quarantined: 1 analysis_failed"
    assert re.fullmatch(rf"    part \d+ tried again: {re.escape(RAISED)}", details[1])
    assert details[2].startswith("    candidate 2")


def test_a_part_whose_workers_always_die_ends_the_run(tmp_path: Path) -> None:
    """Four attempts, the last three guarded; then one line, exit 69, nothing published and no text blamed."""
    scene = _scene(tmp_path, KILL_WORKER)
    with scene.run() as process:
        assert process.wait(240) == 69, process.stderr
        assert process.survivors() == []
    died = "its worker died; trying it again after"
    waits = {1: 1, 2: 3, 3: 9}
    assert _retries(process.stderr) == [f"attempt {attempt} of 4: {died} {wait} s" for attempt, wait in waits.items()]
    assert "Ray lost a worker and gave up" in process.stderr.splitlines()[-1]
    entry = ledger(scene.store)[0]
    assert (entry.state, entry.stage, entry.counts.quarantined) == (State.FAILED, "analyse", 0)
    assert [(each.what, each.wait_seconds) for each in entry.failed_attempts] == [
        ("its worker died", wait) for wait in waits.values()
    ]
    assert not list(tmp_path.glob("store/v1/recipes/quarantine/*"))
    assert not (tmp_path / "store" / "v1" / "recipes" / "latest.json").exists()


def test_sigterm_ends_a_run_in_the_middle_of_a_hang(tmp_path: Path) -> None:
    """The guarded attempt is cancelled with its child, which hears nothing; what was finished stays for the next."""
    scene = _scene(tmp_path, HANG)
    with scene.run() as process:
        child = _await_guarded(process)
        process.interrupt()
        assert process.wait(60) == 143, process.stderr
        assert process.survivors() == []
        assert _has_ended(child)
    assert _retries(process.stderr) != []
    assert ledger(scene.store)[0].state is State.INTERRUPTED
    assert head(scene.store).holder is None
    assert len(staged(scene.store)) > 3


def _await_guarded(process: KizamiProcess) -> psutil.Process:
    """The child of a guarded attempt."""
    for _ in range(600):
        for each in process.tree():
            if any("kizami.analysis.guard" in argument for argument in _command(each)):
                return each
        time.sleep(0.1)
    raise TimeoutError(process.stderr)


def _has_ended(process: psutil.Process) -> bool:
    """Gone, or a zombie that nobody has asked about yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _command(process: psutil.Process) -> Any:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
