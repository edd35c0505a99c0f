"""Bad input: what holds back a document, a line, a file or the run."""

from __future__ import annotations

import gzip
import json
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kizami.errors import ConfigurationError, DataError, UnavailableError
from kizami.sources import SourceFile, absent_columns, list_files, read_texts
from support.reading import FIELDS, Row, blocks_of, rows_of, table_of
from support.recipes import RECIPES, SCHEMA, compressed, write

GOOD = b'{"id":"good","title":"\xe5\x8d\xb5"}\n'
GOOD_ROW = ("good", "title", "卵", None)


@pytest.mark.parametrize(
    ("record", "doc_id", "reason", "message"),
    [
        ('{"title":"卵"}', None, "null_id", "id id is null or missing"),
        ('{"id":null,"title":"卵"}', None, "null_id", "id id is null or missing"),
        ('{"id":"","title":"卵"}', None, "null_id", "id id is empty"),
        ('{"id":true,"title":"卵"}', None, "bad_id", "id id is a boolean, not a string or an integer"),
        ('{"id":1.5,"title":"卵"}', None, "bad_id", "id id is a number, not a string or an integer"),
        ('{"id":NaN,"title":"卵"}', None, "bad_id", "id id is a number, not a string or an integer"),
        ('{"id":["1"],"title":"卵"}', None, "bad_id", "id id is a list, not a string or an integer"),
        ('{"id":{"a":1},"title":"卵"}', None, "bad_id", "id id is an object, not a string or an integer"),
        ('{"id":"x\\ud800","title":"卵"}', "x\\ud800", "bad_id", "id id is not valid Unicode; it stands here escaped"),
        ('{"id":"%s","title":"卵"}' % ("長" * 342), None, "bad_id", "id id is longer than 1,024 bytes"),
        ('{"id":"1","title":"あ\\ud83d"}', "1", "invalid_unicode", "field title is not valid Unicode"),
        ('{"id":"1","title":12}', "1", "not_text", "field title is a number, not a text"),
        ('{"id":"1","title":false}', "1", "not_text", "field title is a boolean, not a text"),
        ('{"id":"1","title":{"ja":"卵"}}', "1", "not_text", "field title is an object, not a text"),
    ],
)
def test_a_fault_holds_back_each_text_of_its_document(
    tmp_path: Path, record: str, doc_id: str | None, reason: str, message: str
) -> None:
    """Every text of the document is a row with the reason and without the text; its neighbours are read."""
    record = record[:-1] + ',"steps":["焼く","食べる"]}'
    (tmp_path / "a.jsonl").write_bytes(GOOD + record.encode() + b"\n" + GOOD)
    fields = ["title", "steps"]
    rows = rows_of(tmp_path / "a.jsonl", fields)
    assert [row[:2] + row[3:5] for row in (rows[0], rows[-1])] == [GOOD_ROW, GOOD_ROW]
    assert rows[1:-1] == [
        Row(doc_id, "title", 0, None, reason, 2),
        Row(doc_id, "steps", 0, None, reason, 2),
        Row(doc_id, "steps", 1, None, reason, 2),
    ]
    table = table_of(blocks_of(tmp_path / "a.jsonl", fields)).slice(1, 3)
    assert set(table["message"].to_pylist()) == {message}
    assert table["text_hash"].null_count == 3


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ('{"id":true,"title":1}', "bad_id"),
        ('{"id":"1","title":1,"steps":["\\ud800"]}', "not_text"),
        ('{"id":"1","title":"\\ud800","steps":[1]}', "invalid_unicode"),
        ('{"id":"1","title":1,"steps":["卵卵卵卵卵"]}', "not_text"),
    ],
)
def test_the_first_fault_counts(tmp_path: Path, record: str, reason: str) -> None:
    """The id's, then those of the texts in the configured order, then the size: the same in whatever format."""
    (tmp_path / "a.jsonl").write_text(record + "\n")
    rows = rows_of(tmp_path / "a.jsonl", ["title", "steps"], document_limit_bytes=10)
    assert {row.reason for row in rows} == {reason}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps", ["焼く", 3, None], "field steps at position 1 is a number, not a text"),
        ("steps", [["焼く"]], "field steps at position 0 is a list, not a text"),
        ("steps", ["\udcff"], "field steps at position 0 is not valid Unicode"),
        (
            "ingredients.name",
            ["卵"],
            "field ingredients.name at position 0 is a value without the key name, not a text",
        ),
        ("ingredients.name", "卵", "field ingredients.name is a value without the key name, not a text"),
        ("ingredients.name", [{"name": ["卵"]}], "field ingredients.name at position 0 is a list, not a text"),
    ],
)
def test_a_fault_inside_a_list_names_field_and_position(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    """The message says where, and never what the text was."""
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "1", field.partition(".")[0]: value}) + "\n")
    assert set(table_of(blocks_of(tmp_path / "a.jsonl", [field]))["message"].to_pylist()) == {message}


def test_a_faulty_document_without_texts_keeps_one_row(tmp_path: Path) -> None:
    """It has no field, only the reason."""
    (tmp_path / "a.jsonl").write_text('{"title":null}\n{"id":[],"title":null}\n')
    assert rows_of(tmp_path / "a.jsonl", ["title"]) == [
        Row(None, None, None, None, "null_id", 1),
        Row(None, None, None, None, "bad_id", 2),
    ]


def test_bytes_that_are_not_utf8_hold_back_their_document_by_its_id(tmp_path: Path) -> None:
    """JSON Lines, CSV and Parquet alike know whose bytes are wrong; other columns do not matter."""
    bad = "卵".encode()[:2]
    (tmp_path / "a.jsonl").write_bytes(
        b'{"id":"1","title":"' + bad + b'"}\n{"id":"\xff2","title":"x"}\n{"id":"3","title":"x","memo":"\xed\xa0\x80"}\n'
    )
    (tmp_path / "a.csv").write_bytes(b"id,title,memo\n1," + bad + b",\n\xff2,x,\n3,x,\xed\xa0\x80\n")
    strings = [
        pa.array(values, pa.binary()).view(pa.string()) for values in ([b"1", b"\xff2", b"3"], [bad, b"x", b"x"])
    ]
    pq.write_table(pa.table({"id": strings[0], "title": strings[1]}), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        assert [row[:5] for row in rows_of(tmp_path / name, ["title"])] == [
            ("1", "title", 0, None, "invalid_unicode"),
            ("\\udcff2", "title", 0, None, "bad_id"),
            ("3", "title", 0, "x", None),
        ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_document_over_the_limit_is_held_back(tmp_path: Path, name: str) -> None:
    """The limit counts UTF-8 bytes of all texts of a document together."""
    path = write(
        tmp_path / name, [{"id": "1", "title": "卵" * 10, "memo": "x"}, {"id": "2", "title": "卵" * 10, "memo": "xy"}]
    )
    blocks = blocks_of(path, ["title", "memo"], document_limit_bytes=31)
    assert [(row["doc_id"], row["reason"]) for row in table_of(blocks).to_pylist()] == [
        ("1", None),
        ("1", None),
        ("2", "too_large"),
        ("2", "too_large"),
    ]
    message = table_of(blocks)["message"][2].as_py()
    assert message == "its texts have 32 bytes, over the limit of 31 a document (largest field: title)"


def test_a_document_with_too_many_texts_is_one_row(tmp_path: Path) -> None:
    """Empty texts have no bytes, but a million of them is no document either."""
    path = write(tmp_path / "a.jsonl", [{"id": "1", "steps": [""] * 1_000_001}])
    assert rows_of(path, ["steps"]) == [Row("1", None, None, None, "too_large", 1)]


@pytest.mark.parametrize("length", [3_000, 2_000_000])
def test_a_line_over_the_bound_passes_by_and_is_counted(tmp_path: Path, length: int) -> None:
    """Neither its id nor its text is read; the next line is."""
    (tmp_path / "a.jsonl").write_bytes(GOOD + b'{"id":"1","title":"' + b"x" * length + b'"}\n' + GOOD)
    rows = rows_of(tmp_path / "a.jsonl", ["title"], document_limit_bytes=300)
    assert rows[1] == Row(None, None, None, None, "too_large", 2)
    assert [row.line for row in rows] == [1, 2, 3]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'"text"',
        b"12",
        b"null",
        b'{"id":"1"} {"id":"2"}',
        b'{"id":"1","title":"\x01"}',
        b'{"id":\xff"1"}',
        b"[" * 100_000,
        b'{"id":' + b"1" * 5_000 + b"}",
        b"\xef\xbb\xbf{}",
    ],
)
def test_a_line_that_is_no_json_object_is_one_row(tmp_path: Path, line: bytes) -> None:
    """It counts as one record with file and line, and reading goes on."""
    (tmp_path / "a.jsonl").write_bytes(GOOD + line + b"\r\n" + GOOD)
    rows = rows_of(tmp_path / "a.jsonl", ["title"])
    assert rows[1] == Row(None, None, None, None, "unparsable", 2)
    assert [row.line for row in rows] == [1, 2, 3]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("1\n", 2),
        ("1,卵,x\n", 2),
        ('1,"卵"焼き\n', 2),
        ("1,卵\r焼き\n", 2),
        ('0,"a\nb"\n1\n', 4),
    ],
)
def test_a_csv_record_that_does_not_fit_is_one_row(tmp_path: Path, body: str, line: int) -> None:
    """Too few or too many cells, a stray quote or a lone carriage return: one row with the line it begins on."""
    (tmp_path / "a.csv").write_bytes(f"id,title\n{body}9,豆腐\n".encode())
    rows = rows_of(tmp_path / "a.csv", ["title"])
    assert rows[-2] == Row(None, None, None, None, "unparsable", line)
    assert rows[-1] == Row("9", "title", 0, "豆腐", None, line + 1)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.jsonl", GOOD + b'{"id":"2","ti', "truncated: line 2"),
        ("a.csv", b"id,title\n1,x\n2", "truncated in the record of line 3"),
        ("a.csv", b'id,title\n1,"x\n2,y\n', "the quote in the record of line 2 is never closed"),
        ("a.csv", b"", "has no header line"),
        ("a.csv", b"\n\n", "has no header line"),
        ("a.csv", b"id,title,memo,title\n", "several columns of the same name: title"),
        ("a.jsonl", "卵".encode("utf-16"), "UTF-16"),
        ("a.jsonl.gz", b"", "truncated"),
        ("a.csv.zst", b"", "truncated"),
        ("a.jsonl.gz", GOOD, "truncated or not valid gzip"),
        ("a.jsonl.zst", GOOD, "truncated or not valid zstd"),
        ("a.parquet", b"", "truncated or not valid Parquet"),
        ("a.parquet", GOOD * 10, "truncated or not valid Parquet"),
    ],
)
def test_a_broken_file_ends_the_run(tmp_path: Path, name: str, body: bytes, message: str) -> None:
    """The error names the file and what is wrong with it."""
    (tmp_path / name).write_bytes(body)
    with pytest.raises(DataError, match=message) as raised:
        blocks_of(tmp_path / name, ["title"])
    assert str(tmp_path / name) in str(raised.value)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.csv.gz", "a.parquet"])
def test_every_truncation_is_seen(tmp_path: Path, name: str) -> None:
    """Wherever the file was cut, also inside its second member or frame, nothing of it passes for a whole."""
    records = [{"id": str(n), "title": random.Random(n).randbytes(20).hex()} for n in range(300)]
    whole = write(tmp_path / name, records).read_bytes()
    member = b"" if name.endswith("parquet") else whole
    for cut in [*range(1, 12), len(whole) // 2, len(whole) - 1]:
        (tmp_path / name).write_bytes(member + whole[:-cut])
        with pytest.raises(DataError, match="truncated"):
            blocks_of(tmp_path / name, ["title"])


@pytest.mark.parametrize("codec", ["snappy", "zstd", "none"])
def test_a_damaged_parquet_page_is_seen(tmp_path: Path, codec: str) -> None:
    """Where the writer left checksums, no bit may flip unseen."""
    table = pa.Table.from_pylist([{"id": str(n), "title": f"卵{n}"} for n in range(5_000)])
    pq.write_table(table, tmp_path / "a.parquet", compression=codec, write_page_checksum=True, use_dictionary=False)
    body = bytearray((tmp_path / "a.parquet").read_bytes())
    body[len(body) // 2] ^= 0xFF
    (tmp_path / "a.parquet").write_bytes(body)
    with pytest.raises(DataError, match="not valid Parquet"):
        blocks_of(tmp_path / "a.parquet", ["title"])


def test_a_csv_record_without_end_ends_the_run(tmp_path: Path) -> None:
    """After a quote that swallowed so much, nothing that follows could be trusted."""
    (tmp_path / "a.csv").write_bytes(b'id,title\n1,"x\n' + b"2,y\n" * 1000 + b'3,"z"\n')
    with pytest.raises(DataError, match="record of line 2 is longer than 800 bytes"):
        blocks_of(tmp_path / "a.csv", ["title"], document_limit_bytes=100)
    (tmp_path / "a.csv").write_bytes(b"id,title\n1," + b"x" * 2000 + b"\n")
    with pytest.raises(DataError, match="record of line 2 is longer than 800 bytes"):
        blocks_of(tmp_path / "a.csv", ["title"], document_limit_bytes=100)


def test_a_file_that_vanished_can_be_tried_again(tmp_path: Path) -> None:
    """Between listing and reading the dump may have been replaced."""
    for name in ("a.jsonl", "b.jsonl.gz", "c.parquet", "d.csv"):
        write(tmp_path / name, [{"id": "1", "title": "卵"}])
    for file in list_files(str(tmp_path)):
        Path(file.url).unlink()
        with pytest.raises(UnavailableError, match="is gone since it was listed"):
            list(read_texts(file, file_index=0, id_column="id", fields=["title"]))


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path, name: str) -> None:
    """A folder in its place stands for a permission, which root would not notice."""
    (tmp_path / name).mkdir()
    file = SourceFile(str(tmp_path / name), "jsonl" if name == "a.jsonl" else "parquet", None, 0)
    with pytest.raises(UnavailableError, match="cannot be read"):
        list(read_texts(file, file_index=0, id_column="id", fields=["title"]))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unavailable(tmp_path: Path) -> None:
    """The owner can still grant it."""
    write(tmp_path / "a.jsonl", [{"id": "1"}]).chmod(0)
    with pytest.raises(UnavailableError, match="cannot be read"):
        blocks_of(tmp_path / "a.jsonl", ["title"])


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (pa.field("t", pa.int64()), "int64"),
        (pa.field("t", pa.binary()), "binary"),
        (pa.field("t", pa.list_(pa.int32())), "list<"),
        (pa.field("t", pa.struct([("k", pa.string())])), "struct<"),
        (pa.field("t", pa.list_(pa.list_(pa.string()))), "list<"),
    ],
)
def test_a_parquet_field_of_another_type_is_a_configuration_error(tmp_path: Path, field: pa.Field, found: str) -> None:
    """Field, type and file are named before any row is read."""
    pq.write_table(pa.schema([("id", pa.string()), field]).empty_table(), tmp_path / "a.parquet")
    with pytest.raises(ConfigurationError, match=f"a.parquet: field t has the type {found}"):
        blocks_of(tmp_path / "a.parquet", ["t"])


@pytest.mark.parametrize(
    ("field", "found"),
    [("t.n", "int64"), ("l.n", "int64"), ("l.deep", "list<"), ("id.x", "string")],
)
def test_a_parquet_key_of_another_type_is_a_configuration_error(tmp_path: Path, field: str, found: str) -> None:
    """A number inside a struct, lists inside a list, or no struct at all."""
    struct = pa.struct([("n", pa.int64()), ("deep", pa.list_(pa.string()))])
    schema = pa.schema([("id", pa.string()), ("t", struct), ("l", pa.list_(struct))])
    pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
    with pytest.raises(ConfigurationError, match=f"field {field} has the type {found}"):
        blocks_of(tmp_path / "a.parquet", [field])


def test_a_parquet_id_of_another_type_is_a_configuration_error(tmp_path: Path) -> None:
    """Every single document would be held back for it: pandas turns integers with nulls into floats."""
    pq.write_table(pa.table({"id": [1.0, None], "title": ["卵", "酢"]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigurationError, match="id id has the type double"):
        blocks_of(tmp_path / "a.parquet", ["title"])


def test_a_parquet_column_twice_is_an_error(tmp_path: Path) -> None:
    """Nobody could say which is meant."""
    table = pa.Table.from_arrays([pa.array(["1"]), pa.array(["卵"]), pa.array(["酢"])], names=["id", "title", "title"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="2 columns named title"):
        blocks_of(tmp_path / "a.parquet", ["title"])


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_an_id_column_that_is_not_there_is_seen_at_once(tmp_path: Path, name: str) -> None:
    """Schema and header show it before any row is read, with what is there."""
    path = write(tmp_path / name, [{"recipe_id": "1", "title": "卵"}])
    with pytest.raises(
        ConfigurationError, match=r"has no column recipe \(did you mean recipe_id\?\);.*: recipe_id, title"
    ):
        blocks_of(path, ["title"], id_column="recipe")


def test_a_csv_field_that_is_not_there_is_seen_at_once(tmp_path: Path) -> None:
    """A header says all there is."""
    path = write(tmp_path / "a.csv", [{"id": "1", "title": "卵"}])
    with pytest.raises(ConfigurationError, match=r"has no column titel \(did you mean title\?\)"):
        blocks_of(path, ["titel"])


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_an_absent_field_is_found_after_all_files(tmp_path: Path, name: str) -> None:
    """The union of what the blocks saw decides, and the message offers what is there, keys inside columns included."""
    [block] = blocks_of(write(tmp_path / name, RECIPES, SCHEMA), ["titel", "ingredients.nmae"])
    with pytest.raises(ConfigurationError) as raised:
        absent_columns(block.columns, source="recipes", id_column="id", fields=["titel", "ingredients.nmae"])
    assert str(raised.value) == (
        "recipes has no column titel (did you mean title?), ingredients.nmae (did you mean ingredients.name?);"
        " correct id or fields in the configuration;"
        " its columns: id, ingredients, ingredients.amount, ingredients.name, steps, title"
    )
    absent_columns(block.columns, source="recipes", id_column="id", fields=FIELDS)


def test_a_name_from_the_data_cannot_break_the_message() -> None:
    """Many names are counted, strange ones escaped."""
    seen = {"\udcff", "a\nb", *(f"c{n:02}" for n in range(30))}
    with pytest.raises(ConfigurationError) as raised:
        absent_columns(seen, source="recipes", id_column="c00", fields=["zzz"])
    assert "a\\nb, c00, c01" in str(raised.value)
    assert str(raised.value).endswith("and 12 more")
    str(raised.value).encode()


def test_messages_never_hold_the_text(tmp_path: Path) -> None:
    """Whatever is wrong, a secret in the data stays there."""
    secret = "ひみつの味"
    bodies: dict[str, Any] = {
        "a.jsonl": f'{{"id":"1","title":["{secret}",1]}}\n{{"id":"2","title":"{secret}"\n"{secret}"\n[{secret}]\n',
        "a.csv": f'id,title\n1,"{secret}"{secret}\n2,{secret},{secret}\n',
    }
    for name, body in bodies.items():
        (tmp_path / name).write_text(body)
        messages = table_of(blocks_of(tmp_path / name, ["title"]))["message"].to_pylist()
        assert all(message and secret not in message for message in messages)
    gz = compressed("a.gz", f'{{"id":"1","title":"{secret}'.encode())
    assert gzip.decompress(gz)
    (tmp_path / "b.jsonl.gz").write_bytes(gz)
    with pytest.raises(DataError) as raised:
        blocks_of(tmp_path / "b.jsonl.gz", ["title"])
    assert secret not in str(raised.value)
