"""Pieces: large files cut, small ones bundled, and the same read of them."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kizami.sources import bundles, gathered, list_files, open_origin, read_texts
from kizami.sources.pieces import cut_files
from kizami_jobs.reading import Corpus
from support.reading import blocks_of, digest_of, rows_in


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 10 kB."""
    monkeypatch.setattr("kizami.sources.pieces.PIECE_BYTES", 10_000)


def write(path: Path, rows: int, *, group: int) -> Path:
    """A Parquet file of random-looking texts."""
    ids = [f"r-{number:05d}" for number in range(rows)]
    table = pa.table({"id": ids, "title": [f"{number * 2654435761 % 2**48:012x}" * 4 for number in range(rows)]})
    pq.write_table(table, path, row_group_size=group, compression="none", use_dictionary=False)
    return path


def test_a_large_parquet_file_is_read_in_pieces(tmp_path: Path, small_pieces: None) -> None:
    """Of whole row groups; the rows, their lines and the digest are those of the whole file."""
    path = write(tmp_path / "a.parquet", 5000, group=100)
    pieces = cut_files(list_files(str(path)))
    assert len(pieces) > 5
    blocks = [block for piece in pieces for block in read_texts(piece, file_index=0, id_column="id", fields=["title"])]
    whole = blocks_of(path, ["title"])
    assert rows_in(blocks, ["title"]) == rows_in(whole, ["title"])
    assert digest_of(blocks) == digest_of(whole)
    assert open_origin(str(path), id_column="id", fields=["title"]).parts == pieces


def test_what_is_small_many_or_of_one_row_group_stays_whole(tmp_path: Path, small_pieces: None) -> None:
    """And what is no Parquet at all is left to its reader."""
    one = write(tmp_path / "one.parquet", 5000, group=5000)
    small = write(tmp_path / "small.parquet", 50, group=10)
    broken = tmp_path / "zz.parquet"
    broken.write_bytes(b"PAR1" + bytes(50_000))
    files = list_files(str(tmp_path))
    assert [piece.url for piece in cut_files(files)] == [str(one), str(small), str(broken)]
    many = list_files(str(write(tmp_path / "one.parquet", 5000, group=100))) * 64
    assert cut_files(many) == many
    # Of hundreds, the few large ones are cut all the same.
    assert len(cut_files([*list_files(str(small)) * 300, many[0]])) > 300 + 5


def test_neighbours_are_bundled_up_to_the_size_of_a_piece(small_pieces: None) -> None:
    """In their order, none left out, and one that is larger than a piece alone."""
    assert bundles([("a", 4000), ("b", 4000), ("c", 4000), ("d", 50_000), ("e", 0)]) == [
        ("a", "b"),
        ("c",),
        ("d",),
        ("e",),
    ]
    assert bundles([]) == []
    assert [len(each) for each in bundles([(number, 1) for number in range(120)])] == [50, 50, 20]


def test_blocks_of_small_files_are_put_together(tmp_path: Path) -> None:
    """Hundreds of files of a few texts make few blocks, with the number of its file in each row."""
    for number in range(300):
        (tmp_path / f"{number:03}.jsonl").write_text(f'{{"id": "r-{number}", "title": "卵焼き{number}"}}\n', "utf-8")
    blocks = blocks_of(tmp_path, ["title"])
    assert len(blocks) == 300
    [together] = gathered(blocks)
    assert together.documents == 300
    assert digest_of([together]) == digest_of(blocks)
    assert rows_in([together], ["title"]) == rows_in(blocks, ["title"])
    assert together.texts["file"].to_pylist() == list(range(300))
    assert len(list(gathered(blocks, block_bytes=1000))) > 3


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 700])
def test_lines_go_to_the_piece_that_they_begin_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, bom: bytes
) -> None:
    """Wherever a file of JSON Lines is cut, each line is read once, blank ones and one without an end included."""
    monkeypatch.setattr("kizami.sources.pieces.PIECE_BYTES", size)
    lines = [f'{{"id": "r-{number}", "title": "{"卵" * (number % 9)}"}}\n' for number in range(40)]
    lines[7:7] = ["\n", "\n", "{broken\n"]
    path = tmp_path / "a.jsonl"
    path.write_bytes(bom + "".join(lines).encode().removesuffix(b"\n"))
    pieces = cut_files(list_files(str(path)))
    assert len(pieces) >= 2
    blocks = [
        block
        for number, piece in enumerate(pieces)
        for block in read_texts(piece, file_index=number, id_column="id", fields=["title"])
    ]
    whole = blocks_of(path, ["title"])
    read = Corpus()
    read.parts = pieces
    for block in gathered(blocks):
        read._lines.update(block.lines)
    rows = rows_in(blocks, ["title"])
    before = [read.lines_before[number] for number in pa.concat_tables([b.texts for b in blocks])["file"].to_pylist()]
    placed = [row._replace(line=row.line + more) for row, more in zip(rows, before, strict=True)]
    assert placed == rows_in(whole, ["title"])
    assert digest_of(blocks) == digest_of(whole)
    assert {part.url for part in pieces} == {str(path)}


def test_what_is_compressed_or_csv_is_not_cut(tmp_path: Path, small_pieces: None) -> None:
    """One is not to be begun in the middle, and in the other a line may begin inside a cell."""
    (tmp_path / "a.csv").write_text("id,title\n" + "1,x\n" * 50_000)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(os.urandom(50_000)))
    assert [piece.piece for piece in cut_files(list_files(str(tmp_path)))] == [None, None]
