"""One corpus, the same rows, whatever it is written in."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from kizami.texts import TEXTS, text_hash
from support.reading import FIELDS, Row, blocks_of, digest_of, rows_of, table_of
from support.recipes import FLAT, RECIPES, SCHEMA, write

NAMES = ["a.parquet", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.ndjson"]
ROWS = [
    Row("r-001", "title", 0, "ふわふわ卵焼き", None, 1),
    Row("r-001", "ingredients.name", 0, "卵", None, 1),
    Row("r-001", "ingredients.name", 1, "白だし", None, 1),
    Row("r-001", "steps", 0, "卵を溶きほぐす。", None, 1),
    Row("r-001", "steps", 1, "焼く。", None, 1),
    Row("r-002", "title", 0, "", None, 2),
    Row("r-002", "steps", 0, " 　", None, 2),
    Row("r-002", "steps", 2, "レンジで３分\nチンする", None, 2),
    Row("r-003", None, None, None, None, 3),
    Row("r-004", "title", 0, "👩‍👩‍👧‍👦のﾊﾟｰﾃｨｰ🍣", None, 4),
    Row("r-004", "ingredients.name", 2, "バター\u0000\u0007", None, 4),
    Row("r-004", "steps", 0, "か\u3099き氷\u2028を“盛る”,\r\n召し上がれ", None, 4),
]


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_equal_in_every_format(tmp_path: Path, name: str) -> None:
    """Null is no text, empty and blank are; null elements keep their position; NUL and emoji pass unchanged."""
    assert rows_of(write(tmp_path / name, RECIPES, SCHEMA)) == ROWS


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.parquet", "a.jsonl"])
def test_flat_rows_are_equal_in_csv(tmp_path: Path, name: str) -> None:
    """Line ends, quotes, commas and NUL inside a cell are text; an empty cell is null."""
    rows = [row[:5] for row in rows_of(write(tmp_path / name, FLAT), ["title", "memo"])]
    assert rows == [
        ("r-001", "title", 0, "ふわふわ卵焼き", None),
        ("r-001", "memo", 0, "卵を溶きほぐす。\n焼く。", None),
        ("r-002", "memo", 0, " 　\n\nレンジで３分\nチンする", None),
        ("r-003", None, None, None, None),
        ("r-004", "title", 0, "👩‍👩‍👧‍👦のﾊﾟｰﾃｨｰ🍣", None),
        ("r-004", "memo", 0, "か\u3099き氷\u2028を“盛る”,\r\n召し上がれ", None),
    ]


def test_a_csv_line_is_where_the_record_begins(tmp_path: Path) -> None:
    """After a record of three lines, the next one's line counts all of them."""
    (tmp_path / "a.csv").write_bytes('\ufeffid,title\r\n1,"卵\n\n焼き"\r\n\r\n2,\0味噌汁\r\n'.encode())
    assert [(row.doc_id, row.text, row.line) for row in rows_of(tmp_path / "a.csv", ["title"])] == [
        ("1", "卵\n\n焼き", 2),
        ("2", "\0味噌汁", 6),
    ]


def test_the_table_has_the_schema_and_hashes_of_texts(tmp_path: Path) -> None:
    """Every block has exactly the schema TEXTS, and the hash DESIGN.md promises."""
    table = table_of(blocks_of(write(tmp_path / "a.jsonl", RECIPES)))
    assert table.schema.equals(TEXTS)
    table.validate(full=True)
    assert table["text_hash"][0].as_py() == hashlib.sha256("ふわふわ卵焼き".encode()).hexdigest()[:32]
    assert text_hash(b"") == "e3b0c44298fc1c149afbf4c8996fb924"
    assert set(table["file"].to_pylist()) == {0}


@pytest.mark.parametrize("name", NAMES)
def test_the_digest_is_of_the_rows_alone(tmp_path: Path, name: str) -> None:
    """Another format, order, number of files or size of block leaves the digest; another text changes it."""
    whole = digest_of(blocks_of(write(tmp_path / "whole.jsonl", RECIPES)))
    shuffled = random.Random(1).sample(RECIPES, len(RECIPES))
    write(tmp_path / "parts" / "x" / name, shuffled[:1], SCHEMA)
    write(tmp_path / "parts" / "y" / name, shuffled[1:], SCHEMA)
    parts = blocks_of(tmp_path / "parts", block_bytes=1)
    assert digest_of(parts) == whole
    assert sum(block.documents for block in parts) == len(RECIPES)
    changed = [RECIPES[0] | {"title": "ふわふわ玉子焼き"}, *RECIPES[1:]]
    assert digest_of(blocks_of(write(tmp_path / "changed.jsonl", changed))) != whole


def test_the_digest_tells_documents_with_faults_apart(tmp_path: Path) -> None:
    """Ids, reasons and the bytes of unparsable lines count."""
    lines = [b'{"id":"1","title":1}', b'{"id":"2","title":1}', b'{"id":"1","title":"\\ud800"}', b"{x}", b"{y}", b"[]"]
    digests = set()
    for line in lines:
        (tmp_path / "a.jsonl").write_bytes(line + b"\n")
        digests.add(digest_of(blocks_of(tmp_path / "a.jsonl", ["title"])))
    assert len(digests) == len(lines)


def test_blocks_close_at_their_size(tmp_path: Path) -> None:
    """A block ends after the document that fills it, in bytes or rows, and documents stay whole."""
    records = [{"id": str(number), "title": "卵" * 100, "steps": ["焼く"] * 3} for number in range(50)]
    path = write(tmp_path / "a.jsonl", records)
    sizes = [block.documents for block in blocks_of(path, ["title", "steps"], block_bytes=3000)]
    assert sizes == [10, 10, 10, 10, 10]
    many = write(tmp_path / "b.jsonl", [{"id": str(n), "title": "卵"} for n in range(45_000)])
    assert [block.texts.num_rows for block in blocks_of(many, ["title"])] == [20_000, 20_000, 5_000]


@pytest.mark.parametrize(
    ("id_value", "expected"),
    [("レシピ１", "レシピ１"), (" ", " "), (7, "7"), (-3, "-3"), (2**64 + 1, "18446744073709551617"), ("a\0b", "a\0b")],
)
def test_an_id_is_a_string_or_an_integer_in_decimal(tmp_path: Path, id_value: object, expected: str) -> None:
    """Integers of any size are exact, and strings stay as they are."""
    path = write(tmp_path / "a.jsonl", [{"id": id_value, "title": "卵"}])
    assert rows_of(path, ["title"]) == [Row(expected, "title", 0, "卵", None, 1)]


@pytest.mark.parametrize(
    "id_array",
    [
        pa.array([1, 2], pa.int64()),
        pa.array([1, 2], pa.uint8()),
        pa.array(["1", "2"], pa.large_string()),
        pa.array(["1", "2"]).dictionary_encode(),
    ],
)
def test_parquet_ids_of_every_type(tmp_path: Path, id_array: pa.Array) -> None:
    """Signed, unsigned, large and dictionary-encoded ids read alike."""
    pq.write_table(pa.table({"id": id_array, "title": ["卵", "豆腐"]}), tmp_path / "a.parquet")
    assert [row.doc_id for row in rows_of(tmp_path / "a.parquet", ["title"])] == ["1", "2"]


STRINGS = ["卵", None, "", "豆腐"]


@pytest.mark.parametrize(
    ("array", "field", "expected"),
    [
        (pa.array(STRINGS, pa.large_string()), "t", [[(0, "卵")], [], [(0, "")], [(0, "豆腐")]]),
        (pa.array(STRINGS).dictionary_encode(), "t", [[(0, "卵")], [], [(0, "")], [(0, "豆腐")]]),
        (pa.nulls(4), "t", [[], [], [], []]),
        (
            pa.array([["卵", None], None, [], ["豆腐"]], pa.large_list(pa.large_string())),
            "t",
            [[(0, "卵")], [], [], [(0, "豆腐")]],
        ),
        (
            pa.array([["卵", "塩"], None, [None, "酢"], ["豆腐", ""]], pa.list_(pa.string(), 2)),
            "t",
            [[(0, "卵"), (1, "塩")], [], [(1, "酢")], [(0, "豆腐"), (1, "")]],
        ),
        (
            pa.array(
                [{"k": "卵", "n": 1}, None, {"k": None}, {"k": "豆腐"}],
                pa.struct([("k", pa.string()), ("n", pa.int8())]),
            ),
            "t.k",
            [[(0, "卵")], [], [], [(0, "豆腐")]],
        ),
        (
            pa.array(
                [{"k": ["卵", "塩"]}, None, {"k": None}, {"k": ["豆腐"]}], pa.struct([("k", pa.list_(pa.string()))])
            ),
            "t.k",
            [[(0, "卵"), (1, "塩")], [], [], [(0, "豆腐")]],
        ),
        (
            pa.array(
                [
                    [{"k": "卵", "n": 1}, None, {"k": "塩", "n": 2}],
                    None,
                    [],
                    [{"k": None, "n": 3}, {"k": "豆腐", "n": 4}],
                ]
            ),
            "t.k",
            [[(0, "卵"), (2, "塩")], [], [], [(1, "豆腐")]],
        ),
    ],
)
def test_parquet_fields_of_every_type(
    tmp_path: Path, array: pa.Array, field: str, expected: list[list[tuple[int, str]]]
) -> None:
    """Strings, lists and one key of structs, with nulls at every level."""
    pq.write_table(pa.table({"id": ["0", "1", "2", "3"], "t": array, "u": [1, 2, 3, 4]}), tmp_path / "a.parquet")
    rows = rows_of(tmp_path / "a.parquet", [field])
    assert [
        [(row.position, row.text) for row in rows if row.doc_id == str(doc) and row.field] for doc in range(4)
    ] == expected
    assert all(row.reason is None for row in rows)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_a_column_with_a_dot_in_its_name_wins_over_the_path(tmp_path: Path, name: str) -> None:
    """``a.b`` is the column of this name where there is one, else key b of a."""
    records: list[dict[str, Any]] = [{"id": "1", "a.b": "列", "a": {"b": "鍵"}}]
    path = write(tmp_path / name, records)
    assert [row.text for row in rows_of(path, ["a.b"])] == ["列"]
    path = write(tmp_path / name, [{"id": "1", "a": {"b": "鍵"}}])
    assert [row.text for row in rows_of(path, ["a.b"])] == ["鍵"]


def test_lines_end_with_a_newline_only(tmp_path: Path) -> None:
    """BOM, CRLF, blank lines and a last line without an end are fine; U+2028, NEL and U+001C stand inside lines."""
    lines = [
        '\ufeff{"id":"1","title":"一\u2028\u0085"}\r',
        "\r",
        "  ",
        '{"id":"2","title":"二\\u001c"}',
        '{"id":"3","title":"三"}',
    ]
    (tmp_path / "a.jsonl").write_bytes("\n".join(lines).encode())
    assert rows_of(tmp_path / "a.jsonl", ["title"]) == [
        Row("1", "title", 0, "一\u2028\u0085", None, 1),
        Row("2", "title", 0, "二\u001c", None, 4),
        Row("3", "title", 0, "三", None, 5),
    ]


@pytest.mark.parametrize("extension", [".gz", ".zst"])
def test_several_members_or_frames_are_read_as_one_file(tmp_path: Path, extension: str) -> None:
    """``cat a.gz b.gz > c.gz`` is a valid file, and so it is for zstd; a record may even span the seam."""
    pieces = [b'{"id":"1","title":"\xe5', b'\x8d\xb5"}\n', b"", b'{"id":"2","title":"b"}\n']
    compress = gzip.compress if extension == ".gz" else zstandard.ZstdCompressor().compress
    (tmp_path / f"a.jsonl{extension}").write_bytes(b"".join(map(compress, pieces)))
    assert [(row.doc_id, row.text) for row in rows_of(tmp_path / f"a.jsonl{extension}", ["title"])] == [
        ("1", "卵"),
        ("2", "b"),
    ]


def test_long_lines_span_chunks(tmp_path: Path) -> None:
    """Lines longer than what is read at once come back whole."""
    records = [{"id": str(size), "title": "長" * size} for size in (1, 400_000, 2, 1_500_000, 349_525, 3)]
    path = write(tmp_path / "a.jsonl", records)
    assert [len(row.text or "") for row in rows_of(path, ["title"])] == [1, 400_000, 2, 1_500_000, 349_525, 3]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.zst"])
def test_an_empty_jsonl_file_has_no_records(tmp_path: Path, name: str) -> None:
    """Nothing but blank lines, or nothing at all, is not an error."""
    path = write(tmp_path / name, [])
    assert blocks_of(path) == []


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_file_with_a_schema_but_no_records_shows_its_columns(tmp_path: Path, name: str) -> None:
    """Header or schema alone give one block without rows."""
    if name == "a.csv":
        (tmp_path / name).write_text("id,title\n")
    else:
        pq.write_table(pa.schema([("id", pa.string()), ("title", pa.string())]).empty_table(), tmp_path / name)
    [block] = blocks_of(tmp_path / name, ["title"])
    assert (len(block.doc_ids), block.texts.num_rows, block.columns, len(block.digests)) == (
        0,
        0,
        frozenset({"id", "title"}),
        0,
    )


def test_a_parquet_field_may_be_absent_from_older_files(tmp_path: Path) -> None:
    """A column added later is null in the files written before."""
    write(tmp_path / "d" / "1.parquet", [{"id": "1", "title": "卵"}])
    write(tmp_path / "d" / "2.parquet", [{"id": "2", "title": "豆腐", "memo": "冷奴"}])
    blocks = blocks_of(tmp_path / "d", ["title", "memo"])
    assert [row["text"] for row in table_of(blocks).to_pylist()] == ["卵", "豆腐", "冷奴"]
    assert frozenset[str]().union(*(block.columns for block in blocks)) == {"id", "title", "memo"}


def test_json_columns_are_those_seen(tmp_path: Path) -> None:
    """Names of columns and of keys inside them, also where a record late in the file is the first to have one."""
    records: list[dict[str, Any]] = [{"id": str(n), "title": None, "who": {"name": "花"}} for n in range(300)]
    records.append({"id": "x", "ingredients": [None, {"name": "卵"}]})
    blocks = blocks_of(write(tmp_path / "a.jsonl", records))
    assert blocks[-1].columns == {"id", "title", "who", "who.name", "ingredients", "ingredients.name"}


def test_json_keys_that_are_data_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Names are kept up to a bound, but a configured one is never missed."""
    records = [{"id": str(n), **{f"鍵{n}-{k}": 1 for k in range(100)}} for n in range(50)] + [
        {"id": "x", "title": "卵"}
    ]
    [block] = blocks_of(write(tmp_path / "a.jsonl", records), ["title"])
    assert len(block.columns) < 3000
    assert {"id", "title"} <= block.columns


def test_json_numbers_that_only_python_writes_are_read(tmp_path: Path) -> None:
    """NaN beside the text does no harm."""
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "1", "title": "卵", "score": float("nan")}) + "\n")
    assert rows_of(tmp_path / "a.jsonl", ["title"]) == [Row("1", "title", 0, "卵", None, 1)]


def test_fields_order_the_rows(tmp_path: Path) -> None:
    """Rows of a document follow the configured order, not that of the file."""
    path = write(tmp_path / "a.jsonl", RECIPES[:1])
    assert [row.field for row in rows_of(path, FIELDS[::-1])] == ["steps"] * 2 + ["ingredients.name"] * 2 + ["title"]
