"""Five days of a corpus of real text: what its producer does to documents and files from one day to the next."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from support import corpora
from support.kitchen import Recipe
from support.recipes import compressed

FIELDS: Final = corpora.FIELDS
UNPARSABLE: Final = b'{"recipe_id": "jsquad-broken", "title": '
"""A record that broke off."""
_SCHEMA: Final = pa.schema(
    [
        ("recipe_id", pa.string()),
        ("title", pa.string()),
        ("body", pa.string()),
        ("ingredients", pa.list_(pa.struct([("name", pa.string()), ("amount", pa.string())]))),
        ("steps", pa.list_(pa.string())),
    ]
)

Record = Recipe | bytes
Files = dict[str, list[Record]]
"""The source of a day: records by file, a document or a line as it stands."""


def days() -> list[Files]:
    """The five of them; the fourth is the third unchanged. All files have the same bytes every time."""
    made = [_first()]
    changes: list[Callable[[Files], None]] = [_second, _third, lambda _: None, _fifth]
    for change in changes:
        made.append(copy.deepcopy(made[-1]))
        change(made[-1])
    return made


def documents(files: Files) -> list[Recipe]:
    """The documents that no fault holds back: each id that is there once."""
    found = [record for records in files.values() for record in records if not isinstance(record, bytes)]
    ids = [document["recipe_id"] for document in found]
    return [document for document in found if ids.count(document["recipe_id"]) == 1]


def duplicates(files: Files) -> list[Recipe]:
    """The documents that share their id."""
    sound = {document["recipe_id"] for document in documents(files)}
    found = [record for records in files.values() for record in records if not isinstance(record, bytes)]
    return [document for document in found if document["recipe_id"] not in sound]


def encoded(name: str, records: list[Record]) -> bytes:
    """A file in the format that its name asks for."""
    if name.endswith(".parquet"):
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(records, _SCHEMA), sink, row_group_size=50)
        return sink.getvalue()
    lines = [each if isinstance(each, bytes) else json.dumps(each, ensure_ascii=False).encode() for each in records]
    return compressed(name, b"".join(line + b"\n" for line in lines))


def _first() -> Files:
    return {
        "recipes/edo.jsonl.gz": list(_read("recipes_edo.jsonl.gz")),
        "recipes/personal.jsonl": list(_read("recipes_personal_cc0.jsonl.gz")),
        "general/wikipedia.jsonl.zst": list(islice(_read("general_wikipedia.jsonl.gz"), 0, 400)),
        "general/aozora.parquet": list(islice(_read("bulk_aozora.jsonl.zst"), 0, 12)),
    }


def _second(files: Files) -> None:
    """Texts are edited, documents come in the middle and at the end of the ids and go, one moves to another file; a
    line broke off, and an id is there twice."""
    edo, wikipedia = files["recipes/edo.jsonl.gz"], files["general/wikipedia.jsonl.zst"]
    _of(edo, 3)["title"] = "たまごのふわふわ、改め玉子の黄身がえし"
    _of(edo, 40)["body"] += "\nよく蒸して、冷めてから切る。"
    _of(edo, 0)["steps"].insert(0, "まず卵をよく洗っておく。")  # all the steps after it move one place
    _of(wikipedia, 17)["body"] = "一文だけになった記事。"
    wikipedia += islice(_read("general_wikipedia.jsonl.gz"), 400, 425)  # their ids fall between those there are
    del wikipedia[5:9], edo[60]
    files["recipes/personal.jsonl"].append(edo.pop(10))
    files["recipes/personal.jsonl"] += [
        {**_of(wikipedia, 30 + number), "recipe_id": f"追加-{number}"} for number in range(3)
    ]
    files["general/aozora.parquet"] += islice(_read("bulk_aozora.jsonl.zst"), 12, 14)
    wikipedia.insert(100, UNPARSABLE)
    wikipedia.append({**_of(wikipedia, 200), "title": "同じ番号の別の記事"})


def _third(files: Files) -> None:
    """Both faults are mended, fields become null, a list loses its middle, what was deleted comes back; files are
    renamed, split, and written in another format."""
    wikipedia = files.pop("general/wikipedia.jsonl.zst")
    del wikipedia[-1]
    wikipedia.remove(UNPARSABLE)
    wikipedia += islice(_read("general_wikipedia.jsonl.gz"), 5, 7)
    _of(wikipedia, 50)["title"] = None
    _of(wikipedia, 51)["body"] = None
    files["wikipedia/a.jsonl"], files["wikipedia/b.parquet"] = wikipedia[::2], wikipedia[1::2]
    edo = files.pop("recipes/edo.jsonl.gz")
    _of(edo, 0)["steps"].pop(2)
    _of(edo, 2)["steps"] = None
    files["江戸.jsonl.zst"] = edo[::-1]
    aozora = files.pop("general/aozora.parquet")
    files["青空/aozora.jsonl.gz"] = aozora
    _of(aozora, 4)["body"] = _of(aozora, 4)["body"].replace("。", "。\n", 20)


def _fifth(files: Files) -> None:
    """A little of everything once more."""
    _of(files["江戸.jsonl.zst"], 20)["title"] = "ﾀﾏｺﾞ100個（半角）"
    del files["recipes/personal.jsonl"][0]
    files["江戸.jsonl.zst"].append(files["recipes/personal.jsonl"].pop())
    files["wikipedia/a.jsonl"].append(UNPARSABLE)


def _of(records: list[Record], number: int) -> dict[str, Any]:
    record = records[number]
    assert not isinstance(record, bytes)
    return record


def _read(name: str) -> Iterator[Recipe]:
    """The documents of a corpus file, with the columns of this corpus."""
    for document in corpora.documents(name):
        columns = {column: document.get(column) for column in ("title", "body", "ingredients", "steps")}
        yield {"recipe_id": document["doc_id"], **columns}
