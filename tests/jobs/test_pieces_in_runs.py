"""Large files read in pieces and small ones in bundles by a whole run: the same snapshot, the same quarantine."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import kizami as reader
from support.job import configuration, kizami

DOCUMENTS = [{"recipe_id": f"r-{number:04d}", "title": f"卵焼き{number}"} for number in range(3000)]
FAULTS = {2000: {"recipe_id": "r-bad", "title": 5}, 2500: {"recipe_id": "r-0001", "title": "二度目"}}


@pytest.mark.ray
@pytest.mark.parametrize("name", ["large.jsonl", "large.parquet", "small"])
def test_pieces_and_bundles_make_the_same_snapshot(
    local_ray: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A document at fault and an id that is there twice are in quarantine with the line that they have in the file."""
    source = tmp_path / name
    faults = FAULTS if name != "large.parquet" else {2500: FAULTS[2500]}
    documents = [faults.get(number, document) for number, document in enumerate(DOCUMENTS)]
    lines = [json.dumps(document, ensure_ascii=False) + "\n" for document in documents]
    if name == "small":
        source.mkdir()
        for begin in range(0, len(lines), 15):
            (source / f"{begin:04}.jsonl").write_text("".join(lines[begin : begin + 15]), "utf-8")
    elif name == "large.jsonl":
        source.write_text("".join(lines), "utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(documents), source, row_group_size=100)
    # A tenth of the file, so that there are several. Workers only see the pieces.
    monkeypatch.setattr("kizami.sources.pieces.PIECE_BYTES", 1000 if name == "large.parquet" else 15_000)
    config = configuration(tmp_path, store="./store", source=str(source), fields=["title"])
    code, answer, err = kizami(capsys, "run", "recipes", "--config", config)
    assert code == 0
    assert f"files: {200 if name == 'small' else 1}" in err
    path = reader.snapshot_path(str(tmp_path / "store"), "recipes")
    found = ds.dataset(path, format="parquet").to_table(columns=["doc_id", "text"])
    gone = {"r-0001", *(f"r-{number:04d}" for number in faults)}
    expected = [(each["recipe_id"], each["title"]) for each in DOCUMENTS if each["recipe_id"] not in gone]
    assert list(zip(*(column.to_pylist() for column in found.columns), strict=True)) == expected
    [quarantine] = (tmp_path / "store" / "v1" / "recipes" / "quarantine").iterdir()
    held = pq.read_table(quarantine).to_pylist()
    assert answer["run"]["counts"]["quarantined"] == len(held)
    places = {(row["doc_id"], Path(row["file"]).name, row["line"]) for row in held}
    if name == "small":
        assert places == {("r-bad", "1995.jsonl", 6), ("r-0001", "0000.jsonl", 2), ("r-0001", "2490.jsonl", 11)}
    else:
        fault = {("r-bad", name, 2001)} if 2000 in faults else set()
        assert places == {("r-0001", name, 2), ("r-0001", name, 2501), *fault}
