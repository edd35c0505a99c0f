"""`kizami diff`: two snapshots of a store, in a folder and on S3."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kizami import layout
from kizami.analysis.shown import Normalisation
from kizami.snapshot_diff import diff_snapshots
from kizami.stores import open_store
from kizami_jobs.cli import main
from support.environments import Environment
from support.snapshot_factory import Document, Recipe, publish_snapshot, recipes
from support.split_rows import Split, split_rows, store_snapshot
from support.token_rows import token_rows

A = "20261123T000000Z-aaaaaaaaaaaaaaaa"
B = "20261124T000000Z-bbbbbbbbbbbbbbbb"


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store in a folder, and one on the S3 server."""
    return str(request.getfixturevalue("s3_url")) if request.param == "s3" else str(tmp_path / "store")


def config(folder: Path, store_url: str) -> str:
    """A configuration with the corpus and one that has no snapshot."""
    names = ("recipes", "novels")
    corpora = "".join(f'[corpora.{name}]\nsource = "x.jsonl"\nid = "id"\nfields = ["title"]\n' for name in names)
    path = folder / "kizami.toml"
    path.write_text(f'store = "{store_url}"\n{corpora}', "utf-8")
    return str(path)


OLD = (
    Split("肉|じゃが", "r-1"),
    Split("豚バラ|肉|を|焼く", "r-1", "steps"),
    Split("卵焼き", "r-2"),
    Split("豚バラ|肉", "r-3"),
    Split("煮物", "r-5"),
)
NEW = (
    Split("肉|じゃが", "r-1"),
    Split("豚|バラ肉|を|焼く", "r-1", "steps"),
    Split("だし巻き|卵", "r-2"),
    Split("豚|バラ肉", "r-3", features={"is_unknown": [False, True]}),
    Split("酢|の|物\n", "r-4\n"),
)


def store_both(store_url: str, folder: Path) -> None:
    """Both snapshots, the new one a candidate of another analysis."""
    store_snapshot(store_url, [split_rows(OLD[:3]), split_rows(OLD[3:])], folder, snapshot=A)
    store_snapshot(
        store_url, [split_rows(NEW)], folder, snapshot=B, date="2026-11-24", fingerprint="b" * 32, published=False
    )


def test_a_candidate_is_compared_with_what_is_published(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would another dictionary do to us: the answer for people."""
    store_both(store_url, tmp_path)
    assert main(["diff", "recipes", "latest", B, "--config", config(tmp_path, store_url)]) == 0
    assert capsys.readouterr() == (
        f"""\
recipes: what changed from A to B
  A  2026-11-23  {A}  5 texts, 10 tokens
     analysis {"a" * 32}
  B  2026-11-24  {B}  5 texts, 13 tokens
     analysis {"b" * 32}
  another analysis: equal texts may have other tokens; 0 of 2 and 1 parts are equal to the byte

documents
            1  added       'r-4\\n'
            1  removed     r-5
            1  changed     r-2
            2  reanalysed  r-1, r-3
texts
            1  added       3 tokens
            1  removed     1 tokens
            1  edited      1 → 2 tokens
            2  reanalysed  6 → 6 tokens
splits changed in unchanged texts: 2, 1 different
            2  豚バラ|肉 → 豚|バラ肉    r-1 steps[0] 0
features changed where the split did not: none
unknown tokens by field
      0.000 % → 11.111 %   title: 0 of 6 → 1 of 9
      0.000 % → 0.000 %    steps: 0 of 4 → 0 of 4
""",
        "",
    )


def test_programs_get_all_of_it(store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json has the same numbers, splits as lists of surfaces; --limit bounds every list, not the counts."""
    store_both(store_url, tmp_path)
    arguments = ["diff", "recipes", "2026-11-23", B, "--config", config(tmp_path, store_url), "--json"]
    assert main([*arguments, "--limit", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(asdict(diff_snapshots(store_url, "recipes", A, B, limit=1))))
    assert (found["a"]["snapshot"], found["b"]["snapshot"]) == (A, B)
    assert (found["a"]["fingerprint"], found["b"]["fingerprint"], found["same_analysis"]) == ("a" * 32, "b" * 32, False)
    changes = found["changes"]
    assert changes["documents"]["reanalysed"] == {"count": 2, "ids": ["r-1"]}
    assert changes["splits"]["most_frequent"] == [
        {
            "old": ["豚バラ", "肉"],
            "new": ["豚", "バラ肉"],
            "count": 2,
            "example": {"doc_id": "r-1", "field": "steps", "position": 0, "start": 0},
        }
    ]
    assert changes["fields"][0]["b"] == {"texts": 4, "tokens": 9, "unknown_tokens": 1, "unknown_rate": 1 / 9}


def test_features_are_listed_by_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A split that did not change, a lemma and a part of speech that did."""
    lemmas: list[Sequence[str | None]] = [["弾く", "米"], ["轢く-挽く", "米"]]
    for snapshot, lemma, pos3 in zip((A, B), lemmas, ([None, "一般"], ["一般", None]), strict=True):
        rows = split_rows([Split("ひく|米", "r-1", features={"lemma": lemma, "pos3": pos3})])
        store_snapshot(str(tmp_path / "store"), [rows], tmp_path, snapshot=snapshot)
    assert main(["diff", "recipes", A, B, "--config", config(tmp_path, str(tmp_path / "store"))]) == 0
    assert (
        """
features changed where the split did not:
  pos3: 2, 2 different
            1  ひく: null → 一般    r-1 title[0] 0
            1  米: 一般 → null    r-1 title[0] 2
  lemma: 1, 1 different
            1  ひく: 弾く → 轢く-挽く    r-1 title[0] 0
"""
        in capsys.readouterr().out
    )


def edited(documents: list[Document]) -> list[Document]:
    """One document gone, one new, one with another title."""
    kept = documents[1:]
    kept[3] = (kept[3][0], "肉じゃがカレー", kept[3][2])
    return [*kept, ("🍣-9999", "いくら丼", [])]


@pytest.mark.parametrize("normalisation", Normalisation)
def test_a_published_day_is_compared_with_the_next(
    normalisation: Normalisation, store_url: str, tmp_path: Path
) -> None:
    """Real analysis: what the source changed is told apart from what another analysis changed in unchanged texts."""
    documents = sorted(recipes())
    first = publish_snapshot(store_url, Recipe(documents))
    day = Recipe(edited(documents), date="2026-11-24", snapshot=B, normalisation=normalisation)
    second = publish_snapshot(store_url, day)
    told: list[tuple[int, int]] = []
    diff = diff_snapshots(
        store_url, "recipes", "2026-11-23", "2026-11-24", progress=lambda done, whole: told.append((done, whole))
    )
    whole = first.counts.rows + second.counts.rows
    assert told[-1] == (whole, whole)
    assert diff.same_analysis == (normalisation is Normalisation.UNIDIC)
    documents_told = diff.changes.documents
    assert documents_told.added.ids == ("🍣-9999",)
    assert documents_told.removed.ids == (documents[0][0],)
    assert documents_told.changed.ids == (documents[4][0],)
    for side, manifest in (("a", first), ("b", second)):
        counted = [getattr(field, side) for field in diff.changes.fields]
        assert sum(each.texts for each in counted) == manifest.counts.rows
        assert sum(each.tokens for each in counted) == manifest.counts.tokens
        assert sum(each.unknown_tokens for each in counted) == manifest.counts.unknown_tokens
    splits = {(each.old, each.new) for each in diff.changes.splits.most_frequent}
    if normalisation is Normalisation.UNIDIC:
        assert diff.changes.texts.reanalysed == 0
        assert splits == set()
    else:
        assert documents_told.reanalysed.count > 20
        assert (("か\u3099んばっ", "て", "よく"), ("か", "\u3099んばってよく")) in splits


def test_equal_parts_are_not_compared(tmp_path: Path) -> None:
    """Of parts with one digest on both sides only the first snapshot's are read, for the counts by field."""
    store_url = str(tmp_path / "store")
    equal, empty = [split_rows(OLD[:2]), split_rows(OLD[2:4])], split_rows([])
    store_snapshot(store_url, [*equal, split_rows(OLD[4:]), empty], tmp_path, snapshot=A)
    other = split_rows([replace(OLD[4], tokens="煮|物")])
    store_snapshot(store_url, [*equal, other, empty, empty], tmp_path, snapshot=B)
    open_store(store_url).delete([layout.part_key("recipes", B, 1)])  # what is not read may be gone
    diff = diff_snapshots(store_url, "recipes", A, B)
    assert diff.equal_parts == 2
    assert [(each.old, each.new) for each in diff.changes.splits.most_frequent] == [(("煮物",), ("煮", "物"))]
    assert [(each.field, each.a.tokens, each.b.tokens) for each in diff.changes.fields] == [
        ("title", 6, 7),
        ("steps", 4, 4),
    ]


def test_a_snapshot_is_equal_to_itself(tmp_path: Path) -> None:
    """Nothing is found between a snapshot and itself, an empty one included."""
    store_url = str(tmp_path / "store")
    store_snapshot(store_url, [split_rows(OLD)], tmp_path, snapshot=A)
    store_snapshot(store_url, [split_rows([])], tmp_path, snapshot=B)
    for name in (A, B):
        diff = diff_snapshots(store_url, "recipes", name, name)
        assert diff.changes.documents.changed.count == diff.changes.texts.edited == 0
    emptied = diff_snapshots(store_url, "recipes", A, B).changes
    assert (emptied.documents.removed.count, emptied.texts.removed) == (4, 5)
    assert emptied.fields[0].b.unknown_rate is None


def without_goshu(rows: pa.Table, store_url: str, snapshot: str) -> None:
    """Write a part of a minor version that lacks a column in place of the snapshot's only one."""
    body = io.BytesIO()
    pq.write_table(rows.drop_columns(["goshu"]), body)
    open_store(store_url).put(layout.part_key("recipes", snapshot, 0), body.getvalue())


def test_minor_versions_are_compared_by_common_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A column that one snapshot lacks is named and left out; all others are compared."""
    store_url = str(tmp_path / "store")
    for snapshot, lemma in ((A, "米"), (B, "御飯")):
        rows = split_rows([Split("米", features={"lemma": [lemma]})])
        store_snapshot(store_url, [rows], tmp_path, snapshot=snapshot)
        if snapshot == A:
            without_goshu(rows, store_url, snapshot)
    diff = diff_snapshots(store_url, "recipes", A, B)
    assert (diff.a.columns_only_here, diff.b.columns_only_here) == ((), ("goshu",))
    assert [each.column for each in diff.changes.features] == ["lemma"]
    assert main(["diff", "recipes", A, B, "--config", config(tmp_path, store_url)]) == 0
    assert "\n  only B has goshu: not compared\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["2026-11-22", "20261122T000000Z-0000000000000000", "latests", "2026-11-31"])
def test_an_unknown_snapshot_is_told_with_those_there_are(
    name: str, store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names the dates and the snapshots, candidates included; exit code 65."""
    store_both(store_url, tmp_path)
    for arguments in (["latest", name], [name, "latest"]):
        assert main(["diff", "recipes", *arguments, "--config", config(tmp_path, store_url)]) == 65
        there_is = f"dates: 2026-11-23; snapshots: {A}, {B}"
        message = f"no snapshot {name!r} of corpus 'recipes' in {store_url}; name one that there is: {there_is}"
        assert capsys.readouterr() == ("", f"kizami: {message}\n")


def test_of_many_snapshots_the_newest_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error stays readable though there are many dates."""
    store_url = str(tmp_path / "store")
    for day in range(10, 18):
        store_snapshot(store_url, [split_rows(OLD)], tmp_path, snapshot=f"202611{day}-a", date=f"2026-11-{day}")
    assert main(["diff", "recipes", "latest", "2026-11-09", "--config", config(tmp_path, store_url)]) == 65
    newest = ", ".join(f"2026-11-{day}" for day in range(13, 18))
    assert f"dates: {newest} and 3 older; " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["novels", "latest", A], 65, "`kizami run novels` makes one"),
        (["recipes", A, "../x"], 78, "cannot name a snapshot"),
        (["recipes", A, B], 65, "part-00000.parquet is missing"),
    ],
)
def test_other_errors_are_one_line(
    arguments: list[str], code: int, words: str, store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing published, a name that cannot be one, and a snapshot whose parts are gone."""
    store_both(store_url, tmp_path)
    open_store(store_url).delete([layout.part_key("recipes", B, 0)])
    assert main(["diff", *arguments, "--config", config(tmp_path, store_url)]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(rf"kizami: .*{re.escape(words)}.*\n", printed.err)


def test_a_damaged_part_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no Parquet is a fault of the data."""
    store_url = str(tmp_path / "store")
    store_both(store_url, tmp_path)
    open_store(store_url).put(layout.part_key("recipes", B, 0), b"not Parquet")
    assert main(["diff", "recipes", A, B, "--config", config(tmp_path, store_url)]) == 65
    assert re.fullmatch(r"kizami: .*part-00000\.parquet is damaged .*\n", capsys.readouterr().err)


def test_a_terminal_is_told_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Percent on stderr, wiped at the end, so that only the answer stays."""
    store_url = str(tmp_path / "store")
    store_both(store_url, tmp_path)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["diff", "recipes", A, B, "--config", config(tmp_path, store_url)]) == 0
    shown = capsys.readouterr().err.split("\r")
    assert "compared 100 % of 10 rows" in shown
    assert shown[-2].strip() == shown[-1] == ""


def test_a_diff_needs_no_job(base_environment: Environment, tmp_path: Path) -> None:
    """`pip install kizami` is enough to compare: no Ray, no MeCab, no pandas."""
    store_url = str(tmp_path / "store")
    store_both(store_url, tmp_path)
    done = base_environment.run(
        base_environment.script("kizami"),
        *("diff", "recipes", "latest", B, "--config", config(tmp_path, store_url)),
        variables={},
        folder=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "豚バラ|肉 → 豚|バラ肉" in done.stdout


def test_memory_does_not_grow_with_the_snapshots(tmp_path: Path) -> None:
    """Four times the tokens, all of them read on both sides, take no more memory but what Arrow keeps for later."""
    store_url = str(tmp_path / "store")
    rows = [token_rows([25_000] * 40, first=1000 * number) for number in range(4)]
    names = {"small": rows[:1], "large": rows}
    for name, parts in names.items():
        for run in ("a", "b"):
            store_snapshot(store_url, parts, tmp_path, snapshot=f"{name}-{run}", run=run)
    code = """
import pathlib, re, sys
from kizami.snapshot_diff import diff_snapshots
diff = diff_snapshots(sys.argv[1], "recipes", f"{sys.argv[2]}-a", f"{sys.argv[2]}-b")
assert diff.equal_parts == 0 and diff.changes.texts.reanalysed == 0
# Not ru_maxrss, in which a process inherits the peak of the one that started it.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(diff.a.tokens, int(peak[1]) * 1024)
"""
    peaks = {}
    for name, parts in names.items():
        command = [sys.executable, "-c", code, store_url, name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        tokens, peaks[name] = map(int, done.stdout.split())
        assert tokens == 1_000_000 * len(parts)
    assert peaks["large"] < peaks["small"] + (128 << 20)
    assert peaks["large"] < 1 << 30
