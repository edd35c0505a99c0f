"""Part files: the same bytes for the same rows, in row groups that readers like."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kizami.analysis.analyser import process_analyser
from kizami.analysis.dictionary import bundled_dictionary
from kizami.analysis.shown import Normalisation
from kizami.encoded import ROWS
from kizami.partfile import PartWriter, inspect_part, read_failures
from kizami_schemas import v1
from support.token_rows import token_rows


def write_part(path: Path, tables: Iterable[pa.Table]) -> Path:
    """A finished part of these tables."""
    with PartWriter(path, fingerprint="f" * 32, run="20261123T000000Z-run") as writer:
        for table in tables:
            writer.write(table)
        writer.finish([])
    return path


def row_groups(path: Path) -> list[int]:
    """The rows of each row group."""
    metadata = pq.read_metadata(path)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def expected_groups(tokens: Iterable[int]) -> list[int]:
    """The rule, row by row: a group ends with the row that brings it to 40,000 rows or 250,000 tokens."""
    groups, rows, total = [], 0, 0
    for count in tokens:
        rows, total = rows + 1, total + count
        if rows == 40_000 or total >= 250_000:
            groups.append(rows)
            rows = total = 0
    return [*groups, rows] if rows else groups


def cut(table: pa.Table, places: Iterable[int]) -> list[pa.Table]:
    """The table in pieces, some of them empty if two places are the same."""
    return [table.slice(start, end - start) for start, end in pairwise([0, *sorted(places), len(table)])]


@pytest.mark.parametrize(
    ("tokens", "groups"),
    [
        ([], []),
        ([0], [1]),
        ([0] * 40_000, [40_000]),
        ([0] * 40_001, [40_000, 1]),
        ([1] * 100_000, [40_000, 40_000, 20_000]),
        ([125_000, 125_000], [2]),
        ([125_000, 125_000, 1], [2, 1]),
        ([249_999, 1, 0], [2, 1]),
        ([249_999, 0, 250_000], [3]),
        ([300_000, 600_000, 5], [1, 1, 1]),
        ([*([6] * 39_999), 10_006, 7], [40_000, 1]),
    ],
    ids=lambda value: f"{len(value)}",
)
def test_row_groups_end_at_40000_rows_or_250000_tokens(tokens: list[int], groups: list[int], tmp_path: Path) -> None:
    """A row group ends with the row that brings it to either, and none is empty."""
    path = write_part(tmp_path / "part", [token_rows(tokens)])
    assert row_groups(path) == groups == expected_groups(tokens)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_row_groups_do_not_depend_on_the_tables(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """However the rows come in, empty tables and chunked ones included, the file is the same, byte for byte."""
    tokens = data.draw(st.lists(st.sampled_from([0, 1, 7, 90_000, 240_000]), min_size=1, max_size=9))
    tokens = [count for count in tokens for _ in range(1 if count > 7 else 2_500)]
    places = data.draw(st.lists(st.integers(0, len(tokens)), max_size=6))
    rows = token_rows(tokens)
    folder = tmp_path_factory.mktemp("parts")
    whole = write_part(folder / "whole", [rows])
    pieces = write_part(folder / "pieces", cut(rows, places))
    chunked = write_part(folder / "chunked", [pa.concat_tables(cut(rows, places))])
    assert row_groups(whole) == expected_groups(tokens)
    assert whole.read_bytes() == pieces.read_bytes() == chunked.read_bytes()
    assert pq.read_table(pieces).equals(rows)


def test_two_writes_are_byte_identical(tmp_path: Path) -> None:
    """The same rows, fingerprint and run give the same file: no clock and no chance is in it."""
    rows = token_rows([3, 0, 5])
    first, second = write_part(tmp_path / "a", [rows]), write_part(tmp_path / "b", [rows])
    assert first.read_bytes() == second.read_bytes()


def _coded(codes: list[int], dictionary: str) -> pa.Table:
    """One row a code, a single token with that surface."""
    rows = token_rows([1] * len(codes)).cast(ROWS).combine_chunks()
    surfaces = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(list(dictionary)))
    lists = pa.ListArray.from_arrays(pa.array(range(len(codes) + 1), pa.int32()), surfaces)
    return rows.set_column(rows.schema.get_field_index("surface"), ROWS.field("surface"), lists)


def _surfaces(path: Path, group: int = 0) -> str:
    """The dictionary of the surfaces of a row group."""
    with pq.ParquetFile(path, read_dictionary=["surface.list.element"]) as file:
        return "".join(file.read_row_group(group)["surface"].chunk(0).flatten().dictionary.to_pylist())


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ([([2, 1, 0], "卵酢塩")], "卵酢塩"),
        ([([2, 1, 0] + [1] * 20 + [0] * 20, "卵酢塩")], "卵酢塩"),
        ([([2, 1, 0] + [1] * 24 + [0] * 20, "卵酢塩")], "酢卵塩"),
        ([([2, 1, 0], "卵酢塩"), ([1], "塩酢")], "酢塩卵"),
        ([([1], "塩酢"), ([2, 1, 0], "卵酢塩")], "酢塩卵"),
    ],
    ids=["as it was", "fresh", "stale", "not whole", "not whole either"],
)
def test_a_dictionary_of_old_keeps_its_order(
    tables: list[tuple[list[int], str]], expected: str, tmp_path: Path
) -> None:
    """Where it serves a whole row group and is still nearly in order; else the more frequent values come first."""
    with PartWriter(tmp_path / "part", fingerprint="f" * 32, run="20261123T000000Z-run") as writer:
        for codes, dictionary in tables:
            writer.write(_coded(codes, dictionary), is_ordered=True)
        writer.finish([])
    assert _surfaces(tmp_path / "part") == expected
    read = [surface for (surface,) in pq.read_table(tmp_path / "part")["surface"].to_pylist()]
    assert read == [dictionary[code] for codes, dictionary in tables for code in codes]


def test_rows_for_several_row_groups_keep_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a dictionary that serves two row groups, each has only what occurs in it."""
    monkeypatch.setattr("kizami.partfile.ROW_GROUP_ROWS", 2)
    with PartWriter(tmp_path / "part", fingerprint="f" * 32, run="20261123T000000Z-run") as writer:
        writer.write(_coded([0, 1, 2], "卵酢塩"), is_ordered=True)
        writer.finish([])
    assert _surfaces(tmp_path / "part") == "卵酢"
    assert _surfaces(tmp_path / "part", group=1) == "塩"


def test_a_part_without_rows_has_the_schema_and_no_row_group(tmp_path: Path) -> None:
    """An empty corpus is a file that every reader takes: all columns, no row group."""
    path = write_part(tmp_path / "part", [token_rows([])])
    assert pq.read_metadata(path).num_row_groups == 0
    assert pq.read_schema(path).equals(v1.SCHEMA)
    assert (inspect_part(path).rows, inspect_part(path).tokens) == (0, 0)


def test_the_file_is_zstd_with_dictionaries_and_version_1_pages(tmp_path: Path) -> None:
    """What was measured to be small and readable everywhere is what is written."""
    path = write_part(tmp_path / "part", [token_rows([2, 3])])
    group = pq.read_metadata(path).row_group(0)
    for number in range(group.num_columns):
        chunk = group.column(number)
        assert chunk.compression == "ZSTD"
        # A version 2 page would have its levels outside the encodings listed here.
        # Offsets are written as differences: every reader that the README names was shown to read them.
        expected = {"DELTA_BINARY_PACKED"} if chunk.path_in_schema.startswith("start.") else {"PLAIN", "RLE_DICTIONARY"}
        assert set(chunk.encodings) <= {"RLE", *expected}, chunk.path_in_schema
        assert _first_page_is_version_1(path, chunk)


def _first_page_is_version_1(path: Path, chunk: pq.ColumnChunkMetaData) -> bool:
    """Reads the page header's first field, its type (thrift compact: 0x15 then a zigzag varint; 0 is DATA_PAGE)."""
    with path.open("rb") as file:
        file.seek(chunk.data_page_offset)
        return file.read(2) == b"\x15\x00"


def test_one_filters_by_statistics_of_the_key_columns_alone(tmp_path: Path) -> None:
    """Readers skip row groups by doc_id; statistics of token columns would only fill the footer."""
    group = pq.read_metadata(write_part(tmp_path / "part", [token_rows([2, 3])])).row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    assert {chunk.path_in_schema for chunk in chunks if chunk.is_stats_set} == {
        "doc_id",
        "field",
        "position",
        "text_hash",
    }
    statistics = chunks[0].statistics
    assert (statistics.min, statistics.max) == ("doc-00000000", "doc-00000001")


def test_the_meaning_of_a_column_is_in_the_file(tmp_path: Path) -> None:
    """Field metadata `doc` comes back from the file, for every column."""
    schema = pq.read_schema(write_part(tmp_path / "part", [token_rows([1])]))
    assert {field.name: field.metadata[b"doc"] for field in schema} == {
        field.name: field.metadata[b"doc"] for field in v1.SCHEMA
    }


def test_the_file_says_where_it_comes_from(tmp_path: Path) -> None:
    """Schema version, fingerprint and the run that built it are metadata; the snapshot is not, as parts are copied."""
    metadata = pq.read_metadata(write_part(tmp_path / "part", [token_rows([1])])).metadata
    own = {key: value for key, value in metadata.items() if key != b"ARROW:schema"}
    assert own == {
        b"kizami.schema": b"1.0",
        b"kizami.fingerprint": b"f" * 32,
        b"kizami.run": b"20261123T000000Z-run",
        b"kizami.analysis_failures": b"[]",
    }


def test_list_elements_are_named_element(tmp_path: Path) -> None:
    """Iceberg takes the files as they are only if elements have the name that Parquet's specification gives them."""
    schema = pq.ParquetFile(write_part(tmp_path / "part", [token_rows([1])])).schema
    paths = [schema.column(number).path for number in range(len(schema))]
    assert paths == [
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name for field in v1.SCHEMA
    ]


def test_required_columns_are_required_in_the_file(tmp_path: Path) -> None:
    """A required column has no definition level; a list may be null, and so may its elements."""
    schema = pq.ParquetFile(write_part(tmp_path / "part", [token_rows([1])])).schema
    levels = [schema.column(number).max_definition_level for number in range(len(schema))]
    assert levels == [0, 0, 0, 0, 0, *([3] * 15)]


def test_columns_of_nulls_keep_their_type(tmp_path: Path) -> None:
    """Nothing is inferred: a column without a single value is still a list of strings."""
    back = pq.read_table(write_part(tmp_path / "part", [token_rows([2, 0])]))
    assert back["pron"].to_pylist() == [[None, None], []]
    assert back.schema.field("pron").type == pa.list_(pa.string())


def test_a_report_counts_and_digests_the_file(tmp_path: Path) -> None:
    """Rows, tokens, unknown tokens, bytes and digest are those of the file."""
    path = write_part(tmp_path / "part", [token_rows([5, 0, 2])])
    report = inspect_part(path)
    assert (report.rows, report.tokens, report.unknown_tokens) == (3, 7, 4)
    body = path.read_bytes()
    assert (report.size_bytes, report.sha256) == (len(body), hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("cuts", [[], [1], [2], [1, 2, 3]], ids=len)
def test_a_report_counts_rows_that_are_not_in_their_place(
    cuts: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key twice, a document before another, and one outside the part's bounds, row groups or not."""
    monkeypatch.setattr("kizami.partfile.ROW_GROUP_ROWS", 1 if cuts else 40_000)
    rows = token_rows([1, 1, 1, 1])

    def misplaced(order: list[int], lower: str = "", upper: str | None = None) -> int:
        path = write_part(tmp_path / "part", cut(rows.take(pa.array(order)), cuts))
        return inspect_part(path, lower, upper).misplaced_rows

    assert misplaced([0, 1, 2, 3], "doc-00000000", "doc-00000004") == 0
    assert misplaced([0, 1, 1, 3]) == 1
    assert misplaced([0, 0, 0, 0]) == 3
    assert misplaced([0, 2, 1, 3]) == 1
    assert misplaced([0, 1, 2, 3], "doc-00000001", "doc-00000003") == 2


def test_places_are_compared_within_a_field_of_a_document(tmp_path: Path) -> None:
    """Positions ascend in a field and begin again in the next; two equal ones are a key twice."""
    rows = token_rows([1] * 4)
    columns = {"doc_id": pa.array(["d"] * 4), "field": pa.array(["steps", "steps", "amounts", "amounts"])}

    def misplaced(positions: list[int]) -> int:
        made = {**columns, "position": pa.array(positions, pa.int32())}
        table = pa.Table.from_arrays([made.get(name, rows[name]) for name in v1.SCHEMA.names], schema=v1.SCHEMA)
        return inspect_part(write_part(tmp_path / "part", [table])).misplaced_rows

    assert misplaced([0, 1, 0, 1]) == 0
    assert misplaced([0, 0, 0, 1]) == 1
    assert misplaced([1, 0, 0, 0]) == 2


def test_a_report_counts_rows_that_do_not_rebuild_their_text(tmp_path: Path) -> None:
    """Read back from the file, over several row groups."""
    rows = token_rows([3, 249_998, 2, 0, 5])
    texts = rows["text"].to_pylist()
    texts[2] = "寿司"
    texts[4] += "\u200b"
    broken = rows.set_column(3, v1.SCHEMA.field("text"), pa.array(texts))
    path = write_part(tmp_path / "part", [broken])
    assert len(row_groups(path)) == 2
    assert inspect_part(path).broken_rows == 2
    assert inspect_part(write_part(tmp_path / "sound", [rows])).broken_rows == 0


def test_failures_come_back_from_the_file(tmp_path: Path) -> None:
    """What could not be analysed is told again to a run that takes the file over."""
    failures = [{"row": 3, "message": "トークンが本文に戻らない"}]
    with PartWriter(tmp_path / "part", fingerprint="f", run="r") as writer:
        writer.write(token_rows([1]))
        writer.finish(failures)
    assert read_failures(tmp_path / "part") == failures
    assert json.loads(pq.read_metadata(tmp_path / "part").metadata[b"kizami.analysis_failures"]) == failures


PROSE = (
    "吾が家の台所では、朝になると母が大きな鍋に湯を沸かし、昆布と鰹節で丁寧に出汁を取ることから一日が始まった。",
    "港町の市場には、夜明け前に水揚げされた鯖や烏賊が並び、威勢のよい掛け声が霧の向こうから聞こえてくる。",
    "研究者たちは、発酵の過程で生まれる香りの成分を分析し、地域ごとの味噌の違いを明らかにしようとしている。",
    "祖父は若い頃に満州から引き揚げてきて、小さな食堂を開き、四十年のあいだ毎日同じ献立を作り続けたという。",
    "江戸時代後期になると、醤油の醸造技術が関東一円に広まり、寿司や蕎麦といった屋台の料理が庶民に親しまれた。",
    "列車は山あいの駅に停まり、売り子が窓の外から釜飯を差し出すと、乗客たちは身を乗り出して小銭を渡していた。",
)


def test_the_footer_of_a_full_part_comes_with_the_first_read(tmp_path: Path) -> None:
    """32 MiB of prose have a footer under 64 KiB, which is what pyarrow reads first."""
    random = np.random.default_rng(20261123)
    texts = ["".join(PROSE[number] for number in random.permutation(6)[: random.integers(1, 7)]) for _ in range(500)]
    tokens = process_analyser(bundled_dictionary(), Normalisation.UNIDIC).analyse(texts).tokens
    sizes = np.array([len(text.encode()) for text in texts])

    def tables() -> Iterable[pa.Table]:
        written = 0
        for first in accumulate([20_000] * 99, initial=0):
            chosen = random.integers(0, len(texts), 20_000)
            enough = np.searchsorted(np.cumsum(sizes[chosen]), (32 << 20) - written) + 1
            chosen = chosen[:enough]
            numbers = range(first, first + len(chosen))
            yield pa.Table.from_arrays(
                [
                    pa.array([f"https://example.org/documents/{number:09d}" for number in numbers]),
                    pa.array(["body"] * len(chosen)),
                    pa.array(np.zeros(len(chosen), np.int32)),
                    pa.array(texts).take(pa.array(chosen)),
                    pa.array([hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in numbers]),
                    *tokens.take(pa.array(chosen)).columns,
                ],
                schema=v1.SCHEMA,
            )
            written += int(sizes[chosen].sum())
            if written >= 32 << 20:
                return

    path = write_part(tmp_path / "part", tables())
    with path.open("rb") as file:
        file.seek(-8, 2)
        footer = int.from_bytes(file.read(4), "little")
    assert footer < 64 << 10
    assert 20 <= len(row_groups(path)) <= 32
