"""Documents as they come: what is odd is analysed, what is broken goes to quarantine, nothing disappears."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kizami.errors import DataError
from kizami.texts import Reason
from support.job import configuration, run
from support.store_contents import Published, published

pytestmark = pytest.mark.ray

FIELDS = ("title", "steps")


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the source, and what must become of it."""

    line: bytes
    rows: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    """Surfaces by (field, position)."""
    held: list[tuple[str | None, int | None]] = field(default_factory=list)
    """(field, position) of the rows in quarantine."""
    reason: Reason | None = None
    message: str = ""
    """A part of the message."""
    doc_id: str | None = ""
    """In quarantine; "" where it is the name of the case."""


def _line(doc_id: object, title: object = None, steps: object = None) -> bytes:
    return json.dumps({"id": doc_id, "title": title, "steps": steps}, ensure_ascii=False).encode() + b"\n"


LONG = "東京特許許可局の許可" * (1_000_000 // 30)
CASES: dict[str, Case] = {
    "plain": Case(
        _line("plain", "肉じゃが", ["皮をむく。"]),
        {("title", 0): ["肉じゃが"], ("steps", 0): ["皮", "を", "むく", "。"]},
    ),
    "null text": Case(_line("null text", None, [None, "煮る"]), {("steps", 1): ["煮る"]}),
    "no text at all": Case(_line("no text at all")),
    "empty list": Case(_line("empty list", "", []), {("title", 0): []}),
    "empty text": Case(
        _line("empty text", "", ["", "煮る"]), {("title", 0): [], ("steps", 0): [], ("steps", 1): ["煮る"]}
    ),
    "white space": Case(_line("white space", " \t\u3000\u00a0\u2028\n"), {("title", 0): []}),
    "controls": Case(
        _line("controls", "\x00卵\x00を\x07焼く\x9f"),
        {("title", 0): ["卵", "を", "焼く"]},
    ),
    "emoji": Case(_line("emoji", "👨‍👩‍👧の🍳"), {("title", 0): ["👨", "‍", "👩", "‍", "👧", "の", "🍳"]}),
    "half width": Case(_line("half width", "ｶﾞﾗｽのｺｯﾌﾟ"), {("title", 0): ["ｶﾞﾗｽ", "の", "ｺｯﾌﾟ"]}),
    "dakuten": Case(_line("dakuten", "か\u3099ん\u3068は\u309a"), {}),
    "spaces": Case(_line("spaces", " " * 70_000 + "卵"), {("title", 0): ["卵"]}),
    "no full stop": Case(_line("no full stop", LONG), {}),
    "number": Case(
        _line("number", 42, ["煮る"]),
        held=[("title", 0), ("steps", 0)],
        reason=Reason.NOT_TEXT,
        message="field title is a number, not a text",
    ),
    "number in a list": Case(
        _line("number in a list", "卵", ["煮る", 3.5]),
        held=[("title", 0), ("steps", 0), ("steps", 1)],
        reason=Reason.NOT_TEXT,
        message="field steps at position 1 is a number",
    ),
    "twice": Case(
        _line("twice", "一度目", ["煮る"]),
        held=[("title", 0), ("steps", 0)],
        reason=Reason.DUPLICATE_ID,
        message="3 documents of the source have this id",
    ),
    "twice again": Case(_line("twice", "二度目"), held=[("title", 0)], reason=Reason.DUPLICATE_ID, doc_id="twice"),
    "twice without text": Case(_line("twice"), doc_id="twice"),  # nothing of it to hold back, but it counts
    "null id": Case(_line(None, "卵"), held=[("title", 0)], reason=Reason.NULL_ID, message="id is null", doc_id=None),
    "empty id": Case(_line("", "卵"), held=[("title", 0)], reason=Reason.NULL_ID, message="id is empty", doc_id=None),
    "second null id": Case(_line(None), held=[(None, None)], reason=Reason.NULL_ID, doc_id=None),
    "no id": Case(b'{"title": "\xe5\x8d\xb5"}\n', held=[("title", 0)], reason=Reason.NULL_ID, doc_id=None),
    "id of another kind": Case(_line(1.5, "卵"), held=[("title", 0)], reason=Reason.BAD_ID, doc_id=None),
    "number as id": Case(_line(7, "卵"), {("title", 0): ["卵"]}, doc_id="7"),
    "surrogate": Case(
        b'{"id": "surrogate", "title": "\\ud83d", "steps": ["\xe5\x8d\xb5"]}\n',
        held=[("title", 0), ("steps", 0)],
        reason=Reason.INVALID_UNICODE,
        message="field title is not valid Unicode",
    ),
    "not UTF-8": Case(
        b'{"id": "not UTF-8", "steps": ["\xe5\x8d\xb5", "\x82\xa0"]}\n',
        held=[("steps", 0), ("steps", 1)],
        reason=Reason.INVALID_UNICODE,
        message="field steps at position 1 is not valid Unicode",
    ),
    "too large": Case(
        _line("too large", "あ" * (16 * 1024 * 1024 // 3 + 1), ["煮る"]),
        held=[("title", 0), ("steps", 0)],
        reason=Reason.TOO_LARGE,
        message="over the limit of 16,777,216",
    ),
    "no JSON": Case(b'{"id": "no JSON", "title": \n', held=[(None, None)], reason=Reason.UNPARSABLE, doc_id=None),
    "no object": Case(
        b'["no object"]\n', held=[(None, None)], reason=Reason.UNPARSABLE, message="not an object", doc_id=None
    ),
}


@pytest.fixture(scope="module")
def odd(local_ray: int, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The snapshot of all the cases, one line each, in one file."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "source.jsonl").write_bytes(b"".join(case.line for case in CASES.values()))
    config = configuration(folder, store="./store", source="./source.jsonl", fields=FIELDS, id_column="id")
    return published(run(config).store)


@pytest.fixture(scope="module")
def odd_rows(odd: Published) -> dict[str, dict[tuple[str, int], dict[str, Any]]]:
    """Its rows, by document and by (field, position)."""
    rows: dict[str, dict[tuple[str, int], dict[str, Any]]] = {}
    for row in odd.rows().to_pylist():
        rows.setdefault(row["doc_id"], {})[row["field"], row["position"]] = row
    return rows


@pytest.mark.parametrize("name", CASES)
def test_a_document_is_analysed_or_held_back(
    odd: Published, odd_rows: dict[str, dict[tuple[str, int], dict[str, Any]]], name: str
) -> None:
    """Each text of the document is a row with the tokens expected, or stands in quarantine with reason and place."""
    case = CASES[name]
    line = 1 + list(CASES).index(name)
    doc_id = name if case.doc_id == "" else case.doc_id
    held = [row for row in odd.quarantine() if row["line"] == line]
    assert {(row["field"], row["position"]) for row in held} == set(case.held)
    assert len(held) == len(case.held)
    for row in held:
        assert (row["doc_id"], row["reason"]) == (doc_id, case.reason)
        assert row["file"].endswith("source.jsonl")
        assert case.message in row["message"]
        assert "\n" not in row["message"]
    if case.held:
        assert doc_id not in odd_rows
    for place, surfaces in case.rows.items():
        assert odd_rows[str(doc_id)][place]["surface"] == surfaces


def test_the_counts_add_up(odd: Published) -> None:
    """Texts of the source = rows + quarantined; the manifest counts the held ones by reason."""
    counts = odd.manifest.counts
    held = odd.quarantine()
    assert counts.quarantined == len(held) == sum(len(case.held) for case in CASES.values())
    assert counts.texts == counts.rows + counts.quarantined
    assert counts.rows == len(odd.rows(["doc_id"]))
    reasons = [row["reason"] for row in held]
    assert counts.quarantined_by_reason == {reason: reasons.count(reason) for reason in reasons}
    with_id = {name if case.doc_id == "" else case.doc_id for name, case in CASES.items()} - {None}
    assert counts.documents == len(with_id - {"twice again", "twice without text"})


def test_every_surface_is_a_slice_and_the_rest_is_white_space_or_control(odd: Published) -> None:
    """To the code point, in the longest and the oddest text alike."""
    for row in odd.rows().to_pylist():
        end = 0
        for start, surface in zip(row["start"], row["surface"], strict=True):
            assert surface
            assert row["text"][start : start + len(surface)] == surface
            assert _is_blank(row["text"][end:start])
            end = start + len(surface)
        assert _is_blank(row["text"][end:])


def test_a_text_without_a_full_stop_is_analysed_to_its_end(
    odd_rows: dict[str, dict[tuple[str, int], dict[str, Any]]],
) -> None:
    """1 MB without a boundary gives tokens from the first character to the last, in sentences."""
    row = odd_rows["no full stop"]["title", 0]
    assert len(row["text"].encode()) > 990_000
    assert row["start"][0] == 0
    assert row["start"][-1] + len(row["surface"][-1]) == len(row["text"])
    assert len(row["sentence_start"]) >= len(row["text"]) / 4096


def test_a_combining_dakuten_stays_with_its_kana(
    odd_rows: dict[str, dict[tuple[str, int], dict[str, Any]]],
) -> None:
    """か with U+3099 is one character to the analyser and two in the surface."""
    row = odd_rows["dakuten"]["title", 0]
    assert row["text"] == "か\u3099ん\u3068は\u309a"
    assert row["surface"][0].startswith("か\u3099")
    assert "".join(row["surface"]) == row["text"]


def test_a_corpus_of_nothing_sound_publishes_nothing(local_ray: int, tmp_path: Path) -> None:
    """Where every text is held back the run ends with a DataError that points to the quarantine."""
    (tmp_path / "a.jsonl").write_bytes(_line("同じ", "卵") * 2)
    config = configuration(tmp_path, store="./store", source="./a.jsonl", fields=FIELDS, id_column="id")
    with pytest.raises(DataError, match=r"all 2 texts of .* were held back: see quarantine/"):
        run(config)
    assert len(list((tmp_path / "store" / "v1" / "recipes" / "quarantine").iterdir())) == 1


def test_duplicates_far_apart_are_found(local_ray: int, tmp_path: Path) -> None:
    """Two documents of one id in two files are both held back, each with its own file and line."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.jsonl").write_bytes(_line("卵焼き", "卵") + _line("味噌汁", "汁"))
    (tmp_path / "source" / "b.jsonl").write_bytes(_line("豆腐", "豆") + _line("卵焼き", "卵"))
    config = configuration(tmp_path, store="./store", source="./source", fields=FIELDS, id_column="id", part_bytes="3B")
    snapshot = published(run(config).store)
    assert [key[0] for key in snapshot.texts()] == ["味噌汁", "豆腐"]
    places = [(Path(row["file"]).name, row["line"], row["doc_id"]) for row in snapshot.quarantine()]
    assert places == [("a.jsonl", 1, "卵焼き"), ("b.jsonl", 2, "卵焼き")]


def _is_blank(text: str) -> bool:
    return all(c.isspace() or c < " " or "\x7f" <= c < "\xa0" for c in text)
