"""Quarantine: one row for each text that was held back, with the reason and the place."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from kizami.quarantine import SCHEMA, count_reasons, quarantine_rows, to_parquet
from kizami.texts import TEXTS


def rows(*records: tuple[str | None, int | None, int | None, str, int, int]) -> pa.Table:
    """Faulty texts as rows of quarantine: (doc_id, field, position, reason, file, line)."""
    texts = pa.Table.from_pylist(
        [
            {"doc_id": i, "field": f, "position": p, "reason": r, "message": f"why {r}", "file": n, "line": line}
            for i, f, p, r, n, line in records
        ],
        schema=TEXTS,
    )
    return quarantine_rows(texts, ("title", "steps"), ("a.jsonl", "b.jsonl"))


def test_numbers_become_names() -> None:
    """Field and file are told by name; what a record without a text lacks is null; the text is nowhere."""
    found = rows(("r-1", 1, 3, "not_text", 1, 9), (None, None, None, "unparsable", 0, 2))
    assert found.schema.equals(SCHEMA, check_metadata=True)
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("r-1", "steps", 3, "not_text", "why not_text", "b.jsonl", 9),
        (None, None, None, "unparsable", "why unparsable", "a.jsonl", 2),
    ]


def test_the_file_is_in_the_order_of_the_source() -> None:
    """By file, line, field and position, whatever the parts they come from; types and documentation stay."""
    first = rows(("b", 0, 0, "too_large", 1, 1), ("a", 1, 1, "not_text", 0, 5))
    second = rows(("a", 1, 0, "not_text", 0, 5), ("a", 0, 0, "not_text", 0, 5), (None, None, None, "null_id", 0, 1))
    back = pq.read_table(io.BytesIO(to_parquet([first, second])))
    keys = [tuple(row.values()) for row in back.select(["file", "line", "field", "position"]).to_pylist()]
    assert keys == [
        ("a.jsonl", 1, None, None),
        ("a.jsonl", 5, "steps", 0),
        ("a.jsonl", 5, "steps", 1),
        ("a.jsonl", 5, "title", 0),
        ("b.jsonl", 1, "title", 0),
    ]
    assert back.schema.equals(SCHEMA, check_metadata=True)
    assert to_parquet([first, second]) == to_parquet([second, first])


def test_reasons_are_counted_the_most_frequent_first() -> None:
    """What happened most is read first."""
    found = rows(("a", 0, 0, "too_large", 0, 1), ("b", 0, 0, "not_text", 0, 2), ("c", 0, 0, "not_text", 0, 3))
    assert list(count_reasons(found).items()) == [("not_text", 2), ("too_large", 1)]
    assert count_reasons(rows()) == {}


def test_every_column_is_documented() -> None:
    """The quarantine is read by people."""
    assert all(field.metadata[b"doc"] for field in SCHEMA)


def test_lines_of_a_piece_are_those_of_its_file() -> None:
    """What stands before the piece is added."""
    texts = pa.Table.from_pylist([{"file": 1, "line": 3}, {"file": 0, "line": 3}], schema=TEXTS)
    assert quarantine_rows(texts, ("title",), ("a", "a"), (0, 40))["line"].to_pylist() == [43, 3]
