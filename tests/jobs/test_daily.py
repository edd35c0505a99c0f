"""The daily job end to end, on a local Ray: a folder of documents in, a snapshot out."""

from __future__ import annotations

import io
import time
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import ray

from kizami import layout
from kizami.config import load_config
from kizami.errors import ConfigurationError, DataError, UnavailableError
from kizami.ledger import State
from kizami.stores import ObjectStore, open_store
from kizami_jobs.daily import run_corpus
from kizami_jobs.progress import Progress
from kizami_jobs.request import RunRequest
from kizami_schemas import v1
from support.job import configuration, kizami, run
from support.kitchen import Recipe, expected_texts, jsonl, recipes, write_jsonl
from support.store_contents import head, ledger, published, staged

pytestmark = pytest.mark.ray

DAY = "2026-11-23"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The configuration of a small corpus in a local folder, with a folder as store."""
    write_jsonl(tmp_path / "source" / "recipes.jsonl", recipes(40))
    return configuration(tmp_path, store="./store", source="./source")


def test_a_snapshot_has_the_texts_of_its_source_in_order(local_ray: int, small: Path) -> None:
    """A run publishes one row a text, sorted by (doc_id as UTF-8, field as configured, position), in frozen types."""
    result = run(small)
    snapshot = published(result.store)
    assert result.pointer == snapshot.pointer
    assert snapshot.texts() == expected_texts(recipes(40))
    assert result.entry.counts.rows == snapshot.pointer.rows == len(snapshot.texts())
    rows = snapshot.rows()
    assert rows.schema.equals(v1.SCHEMA)
    for row in rows.to_pylist():
        assert all(row["text"].startswith(s, at) for s, at in zip(row["surface"], row["start"], strict=True))
    frame = pd.read_parquet(snapshot.path, columns=["doc_id", "lemma"])
    assert len(frame) == len(rows)


@pytest.mark.s3
def test_source_and_store_on_s3_give_the_same_snapshot_as_folders(
    local_ray: int, small: Path, s3_url: str, tmp_path: Path
) -> None:
    """The same documents give the same rows and the same part keys, whether they lie on a disk or on S3."""
    here = published(run(small).store)
    open_store(f"{s3_url}/source").put("dumps/a.jsonl", jsonl(recipes(40)))
    config = configuration(tmp_path / "s3", store=f"{s3_url}/store", source=f"{s3_url}/source/dumps/*.jsonl")
    there = published(run(config).store)
    assert there.rows().equals(here.rows())
    assert [part.key for part in there.manifest.parts] == [part.key for part in here.manifest.parts]
    assert len(pd.read_parquet(there.path, columns=["doc_id"])) == len(here.texts())


def test_an_unchanged_input_is_not_analysed_again(local_ray: int, small: Path) -> None:
    """A second run on the same input says unchanged, gives no text to MeCab and leaves the pointers as they are."""
    first = run(small)
    second = run(small)
    assert second.entry.state is State.UNCHANGED
    assert second.pointer == first.pointer
    assert second.entry.snapshot == first.pointer.snapshot
    assert second.entry.counts.texts == first.entry.counts.texts
    assert (second.entry.counts.texts_analysed, second.entry.counts.parts) == (0, 0)
    assert list(second.entry.stage_seconds) == ["source", "ray", "read"]
    assert head(first.store).commits == 1


def test_other_files_orders_and_formats_give_the_same_snapshot(local_ray: int, small: Path, tmp_path: Path) -> None:
    """Documents spread over other files, in another order and another format, give the same parts, byte for byte but
    for the run's id: the second corpus's business date is even found unchanged."""
    write_jsonl(tmp_path / "source" / "recipes.jsonl", recipes(40))
    config = configuration(tmp_path, store="./store", source="./source", part_bytes="1KiB")
    first = published(run(config, day=DAY, as_of_now=True).store)
    assert len(first.manifest.parts) > 5
    documents = recipes(40)[::-1]
    for number in range(4):
        suffix = (".jsonl.gz", ".jsonl")[number % 2]
        write_jsonl(tmp_path / "other" / f"deep-{number}" / f"part{suffix}", documents[number::5])
    pq.write_table(
        pa.Table.from_pylist(documents[4::5], schema=_SCHEMA), tmp_path / "other" / "x.parquet", row_group_size=3
    )
    elsewhere = configuration(tmp_path / "b", store="./store", source=str(tmp_path / "other"), part_bytes="1KiB")
    second = published(run(elsewhere, day=DAY, as_of_now=True).store)
    assert second.rows().equals(first.rows())
    assert [part.key for part in second.manifest.parts] == [part.key for part in first.manifest.parts]
    assert second.manifest.input_digest == first.manifest.input_digest
    again = configuration(tmp_path, store="./store", source="./other", part_bytes="1KiB")
    assert run(again, day=DAY, as_of_now=True).entry.state is State.UNCHANGED


_SCHEMA = pa.schema(
    [
        ("recipe_id", pa.string()),
        ("title", pa.string()),
        ("ingredients", pa.list_(pa.struct([("name", pa.string())]))),
        ("steps", pa.list_(pa.string())),
    ]
)


def test_csv_gives_the_rows_that_json_lines_give(local_ray: int, tmp_path: Path) -> None:
    """A title per document reads the same from CSV as from JSON Lines."""
    titles = [{"recipe_id": each["recipe_id"], "title": each["title"]} for each in recipes(20)]
    (tmp_path / "csv").mkdir()
    pyarrow.csv.write_csv(pa.Table.from_pylist(titles), tmp_path / "csv" / "titles.csv")
    config = configuration(tmp_path, store="./store", source="./csv", fields=["title"])
    assert published(run(config).store).texts() == expected_texts(titles, ["title"])


def test_one_tagger_per_worker_process(local_ray: int, tmp_path: Path) -> None:
    """However many parts a worker process builds, it makes one Tagger."""
    write_jsonl(tmp_path / "source" / "a.jsonl", recipes(60))
    config = configuration(tmp_path, store="./store", source="./source", part_bytes="700B")
    before = _taggers(local_ray)
    parts = run(config).entry.counts.parts_analysed
    after = _taggers(local_ray)
    assert parts > 4 * local_ray
    asked = sum(calls - before.get(pid, (0, 0))[1] for pid, (_, calls) in after.items())
    assert asked >= parts - local_ray, "the probes missed the workers that built the parts"
    # Another test may have had the same processes make one for another dictionary.
    assert {made - before.get(pid, (0, 0))[0] for pid, (made, _) in after.items()} <= {0, 1}


def _taggers(cpus: int) -> dict[int, tuple[int, int]]:
    """Of the worker processes: how many Taggers were made, and how often one was asked for."""

    @ray.remote(num_cpus=1)
    def probe() -> tuple[int, int, int]:
        import os  # noqa: PLC0415  # on the worker

        from kizami.analysis.analyser import process_analyser  # noqa: PLC0415

        time.sleep(0.3)  # so that each probe needs a process of its own
        info = process_analyser.cache_info()
        return os.getpid(), info.misses, info.misses + info.hits

    found = {}
    for _ in range(3):
        for pid, made, calls in ray.get([probe.remote() for _ in range(cpus)]):
            found[pid] = (made, calls)
    return found


def test_unchanged_ranges_keep_their_parts_on_the_next_day(local_ray: int, tmp_path: Path) -> None:
    """Documents appended at the end leave bounds and keys of all parts before them as they were."""
    documents = sorted(recipes(60), key=lambda document: document["recipe_id"])
    write_jsonl(tmp_path / "2026-11-22" / "a.jsonl", documents)
    new: list[Recipe] = [{**document, "recipe_id": f"𪛖-{document['recipe_id']}"} for document in recipes(20)]
    write_jsonl(tmp_path / "2026-11-23" / "a.jsonl", [*new, *documents])
    config = configuration(tmp_path, store="./store", source="./{date}/*.jsonl", part_bytes="2KiB")
    first = published(run(config, day="2026-11-22").store)
    second = published(run(config, day="2026-11-23").store)
    assert second.texts() == expected_texts([*documents, *new])
    kept = len(first.manifest.parts) - 1  # the last one may grow and split
    assert kept > 3
    assert [(part.lower, part.key) for part in second.manifest.parts[:kept]] == [
        (part.lower, part.key) for part in first.manifest.parts[:kept]
    ]
    assert len(second.manifest.parts) > len(first.manifest.parts)
    assert first.pointer.path != second.pointer.path
    assert published(first.store, date="2026-11-22").pointer == first.pointer


def test_parts_without_a_change_are_copied(local_ray: int, tmp_path: Path) -> None:
    """On another date one document more in the middle leaves one part to build: the files of the others are the
    predecessor's own, hard links in a folder."""
    documents = sorted(recipes(60), key=lambda document: document["recipe_id"])
    more: Recipe = {**recipes(1)[0], "recipe_id": documents[30]["recipe_id"] + "b"}
    write_jsonl(tmp_path / "2026-11-22" / "a.jsonl", documents)
    write_jsonl(tmp_path / "2026-11-23" / "b.jsonl", [more, *documents[::-1]])
    config = configuration(tmp_path, store="./store", source="./{date}/*.jsonl", part_bytes="2KiB")
    first = published(run(config, day="2026-11-22").store)
    result = run(config, day="2026-11-23")
    second = published(result.store)
    assert second.texts() == expected_texts([*documents, more])
    assert second.manifest.bounds == first.manifest.bounds
    counts, parts = result.entry.counts, len(first.manifest.parts)
    assert parts > 5
    assert (counts.parts, counts.parts_copied, counts.parts_analysed) == (parts, parts - 1, 1)
    files = [
        (Path(first.path, old.name).stat().st_ino, Path(second.path, new.name).stat().st_ino)
        for old, new in zip(first.manifest.parts, second.manifest.parts, strict=True)
    ]
    assert sum(old == new for old, new in files) == parts - 1
    full = published(run(configuration(tmp_path / "b", store="./store", source="../{date}"), day="2026-11-23").store)
    for name in ("documents", "texts", "text_bytes", "rows", "tokens", "unknown_tokens"):
        assert getattr(second.manifest.counts, name) == getattr(full.manifest.counts, name)
    assert second.rows().equals(full.rows())


def test_the_folder_of_a_snapshot_is_complete_and_holds_nothing_else(local_ray: int, small: Path) -> None:
    """The snapshot's folder lists exactly its parts; staging is empty and the lock free after the run."""
    result = run(configuration(small.parent, store="./store", source="./source", part_bytes="1KiB"))
    snapshot = published(result.store)
    listed = [info.key for info in open_store(result.store).list(snapshot.pointer.path)]
    expected = [layout.part_key("recipes", snapshot.pointer.snapshot, n) for n in range(len(snapshot.manifest.parts))]
    assert listed == expected
    assert staged(result.store) == []
    assert head(result.store).holder is None
    assert head(result.store).unfinished is None
    bounds = [*snapshot.manifest.bounds, None]
    for part, lower, upper in zip(snapshot.parts(["doc_id"]), bounds, bounds[1:], strict=False):
        ids = part["doc_id"].to_pylist()
        assert ids
        assert (lower or "") <= min(ids)
        assert upper is None or max(ids) < upper


def test_the_ledger_says_what_became_of_each_run(
    local_ray: int, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A published, an unchanged and a failed run leave three entries with states, counts, durations and versions."""
    published_run = run(small).entry
    unchanged_run = run(small).entry
    (small.parent / "source" / "recipes.jsonl").unlink()
    with pytest.raises(UnavailableError):
        run(small)
    failed, unchanged, first = ledger(str(small.parent / "store"))
    assert (first, unchanged) == (published_run, unchanged_run)
    assert (first.state, first.exit_code, first.error) == (State.PUBLISHED, 0, None)
    assert list(first.stage_seconds) == ["source", "ray", "read", "analyse", "assemble", "publish"]
    assert first.counts.documents == 40
    assert first.counts.texts == first.counts.rows == first.counts.texts_analysed == len(expected_texts(recipes(40)))
    assert first.counts.tokens > first.counts.rows
    assert (first.counts.parts, first.counts.parts_analysed, first.counts.parts_reused) == (1, 1, 0)
    assert (first.peak_worker_bytes or 0) > 50_000_000  # Python, Arrow and a Tagger
    assert first.worker_seconds is not None
    assert 0 < first.worker_seconds <= first.stage_seconds["analyse"]  # there was one part
    assert first.started_at <= (first.ended_at or "")
    assert {"kizami", "python", "pyarrow", "fugashi", "ray", "dictionary"} == set(first.versions)
    assert (failed.state, failed.exit_code, failed.snapshot) == (State.FAILED, 69, None)
    assert failed.error is not None
    assert failed.error.name == "NotThereYetError"
    assert "source" in failed.error.message


def test_the_business_date_is_today_in_the_configured_time_zone(tmp_path: Path) -> None:
    """At every moment it is another day in Kiritimati than in Niue, and a run takes that of its configuration."""
    for zone in ("Pacific/Kiritimati", "Pacific/Niue"):
        folder = tmp_path / zone.rpartition("/")[2]
        config = configuration(folder, store="./store", source="./nothing", head=f'timezone = "{zone}"')
        before = datetime.now(ZoneInfo(zone)).date().isoformat()
        with pytest.raises(UnavailableError):
            run(config)
        after = datetime.now(ZoneInfo(zone)).date().isoformat()
        assert ledger(str(folder / "store"))[0].date in {before, after}


def test_another_date_needs_a_dated_source_or_as_of_now(local_ray: int, small: Path) -> None:
    """A source without {date} is only ever now; --as-of-now publishes it under another date, and the manifest tells."""
    with pytest.raises(ConfigurationError, match=r"no \{date\} in it.*--as-of-now"):
        run(small, day="2020-01-01")
    result = run(small, day="2020-01-01", as_of_now=True)
    snapshot = published(result.store, date="2020-01-01")
    assert snapshot.manifest.provenance.as_of_now
    assert (snapshot.pointer.date, snapshot.manifest.date) == ("2020-01-01", "2020-01-01")


def test_latest_never_moves_to_an_earlier_date(local_ray: int, tmp_path: Path) -> None:
    """Filling in an earlier date publishes it under that date only."""
    for day, count in (("2026-11-22", 3), ("2026-11-23", 5)):
        write_jsonl(tmp_path / day / "a.jsonl", recipes(count))
    config = configuration(tmp_path, store="./store", source="./{date}")
    newer = run(config, day="2026-11-23").pointer
    older = run(config, day="2026-11-22")
    assert published(older.store).pointer == newer
    assert published(older.store, date="2026-11-22").texts() == expected_texts(recipes(3))


@pytest.mark.parametrize("content", [b"", b"\n\n", jsonl([{"recipe_id": "空", "title": None}])])
def test_an_empty_corpus_is_an_error_unless_allowed(local_ray: int, tmp_path: Path, content: bytes) -> None:
    """Without texts nothing is published; --allow-empty makes one part without row groups that pandas reads."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.jsonl").write_bytes(content)
    config = configuration(tmp_path, store="./store", source="./source", fields=["title"])
    with pytest.raises(DataError, match="no texts to publish; give --allow-empty"):
        run(config)
    with pytest.raises(DataError, match="no snapshot"):
        published(str(tmp_path / "store"))
    snapshot = published(run(config, allow_empty=True).store)
    assert snapshot.texts() == []
    assert len(snapshot.manifest.parts) == 1
    assert pq.read_metadata(snapshot.path + "part-00000.parquet").num_row_groups == 0
    frame = pd.read_parquet(snapshot.path)
    assert list(frame.columns) == v1.SCHEMA.names
    assert frame.empty


def test_a_first_run_on_an_empty_corpus_is_followed_by_one_with_documents(local_ray: int, tmp_path: Path) -> None:
    """An empty snapshot is a predecessor like any other."""
    write_jsonl(tmp_path / "2026-11-22" / "a.jsonl", [])
    write_jsonl(tmp_path / "2026-11-23" / "a.jsonl", recipes(20))
    config = configuration(tmp_path, store="./store", source="./{date}", part_bytes="1KiB")
    run(config, day="2026-11-22", allow_empty=True)
    snapshot = published(run(config, day="2026-11-23").store)
    assert snapshot.texts() == expected_texts(recipes(20))
    assert len(snapshot.manifest.parts) > 1


@pytest.fixture
def dated(tmp_path: Path) -> Path:
    """The configuration of a corpus with documents of four days, which keeps two dates."""
    for day, count in (("20", 3), ("21", 4), ("22", 5), ("23", 6)):
        write_jsonl(tmp_path / f"2026-11-{day}" / "a.jsonl", recipes(count))
    return configuration(tmp_path, store="./store", source="./{date}", more="retention_dates = 2\n")


def test_a_withdrawn_date_is_made_anew(local_ray: int, dated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After a rollback the same input is not "nothing to do" any more: the rerun makes another snapshot."""
    before = run(dated, day="2026-11-22")
    withdrawn = run(dated, day=DAY)
    assert kizami(capsys, "rollback", "recipes", before.pointer.snapshot, "--config", dated)[0] == 0
    assert published(before.store).pointer.snapshot == before.pointer.snapshot
    again = run(dated, day=DAY)
    assert again.entry.state is State.PUBLISHED
    assert again.pointer.snapshot != withdrawn.pointer.snapshot
    assert published(before.store).pointer == published(before.store, date=DAY).pointer == again.pointer
    assert published(before.store).rows().num_rows == withdrawn.pointer.rows


def test_every_run_carries_retention_out(local_ray: int, dated: Path) -> None:
    """Dates beyond the configured number lose their pointer; one just filled in keeps it until the next run."""
    runs = [run(dated, day=f"2026-11-{day}") for day in (21, 22, 23)]
    store = open_store(runs[0].store)
    assert _dates(store) == ["2026-11-22", "2026-11-23"]
    assert list(store.list(runs[0].pointer.path))
    run(dated, day="2026-11-20")
    assert _dates(store) == ["2026-11-20", "2026-11-22", "2026-11-23"]
    assert run(dated, day=DAY).entry.state is State.UNCHANGED
    assert _dates(store) == ["2026-11-22", "2026-11-23"]
    assert published(runs[0].store).pointer == runs[2].pointer


def _dates(store: ObjectStore) -> list[str]:
    prefix = layout.dates_prefix("recipes")
    return [info.key.removeprefix(prefix).removesuffix(".json") for info in store.list(prefix)]


def test_retention_that_fails_does_not_fail_the_run(
    local_ray: int, dated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is published, the ledger says so, and a line on stderr tells what was not done."""

    def away(*_: object) -> None:
        raise UnavailableError("the store is away")

    monkeypatch.setattr("kizami_jobs.daily.clean", away)
    said = io.StringIO()
    result = run_corpus(load_config(dated), RunRequest("recipes", date.fromisoformat(DAY)), Progress(said))
    assert result.entry == ledger(result.store)[0]
    assert (result.entry.state, result.entry.exit_code) == (State.PUBLISHED, 0)
    assert "retention was not carried out, the next run tries again: the store is away" in said.getvalue()
