"""Made-up recipes: documents as a source has them, and the rows a snapshot of them must have."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

RECIPE_FIELDS = ("title", "ingredients.name", "steps")
Recipe = dict[str, Any]
TextRow = tuple[str, str, int, str]
"""doc_id, field, position, text."""

_DISHES = ("肉じゃが", "味噌汁", "ｶﾚｰﾗｲｽ", "だし巻き卵", "さばの味噌煮", "ﾊﾟﾝｹｰｷ", "𠮷野家風牛丼", "Ａランチ")
_INGREDIENTS = ("じゃがいも", "玉ねぎ", "牛肉（こま切れ）", "しょうゆ 大さじ2", "卵3個", "だし汁200ml")
_STEPS = (
    "野菜は皮をむき、一口大に切る。",
    "鍋に油を熱し、肉を炒める。色が変わったら野菜を加える。",
    "「弱火で15分。」と母は言った。ふたをして煮る！",
    "　塩・こしょうで味をととのえ、\n器に盛る。",
)


def recipe(number: int) -> Recipe:
    """The recipe of this number; always the same one."""
    return {
        "recipe_id": f"{_DISHES[number % len(_DISHES)]}-{number:04d}",
        "title": f"{_DISHES[number % len(_DISHES)]} その{number}",
        "ingredients": [{"name": _INGREDIENTS[(number + i) % len(_INGREDIENTS)]} for i in range(1 + number % 4)],
        "steps": [
            None if i == 2 and number % 5 == 0 else _STEPS[(number + i) % len(_STEPS)] for i in range(number % 5)
        ],
    }


def recipes(count: int, first: int = 0) -> list[Recipe]:
    """``count`` recipes in the order of their numbers, which is not that of their ids."""
    return [recipe(number) for number in range(first, first + count)]


def jsonl(documents: Iterable[Recipe]) -> bytes:
    """Documents as JSON Lines."""
    return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents).encode()


def write_jsonl(path: Path, documents: Iterable[Recipe]) -> Path:
    """Write documents to a file, compressed if its name ends in ``.gz``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = jsonl(documents)
    path.write_bytes(gzip.compress(body, mtime=0) if path.suffix == ".gz" else body)
    return path


def expected_texts(documents: Iterable[Recipe], fields: Sequence[str] = RECIPE_FIELDS) -> list[TextRow]:
    """What the rows of a snapshot of these documents must be, in order, told without any code of Kizami."""
    rows = [
        ((document["recipe_id"].encode(), place, position), (document["recipe_id"], field, position, text))
        for document in documents
        for place, field in enumerate(fields)
        for position, text in _texts(document, field)
    ]
    return [key for _, key in sorted(rows)]


def _texts(document: Recipe, field: str) -> Iterator[tuple[int, str]]:
    column, _, key = field.partition(".")
    value = document.get(column)
    for position, element in enumerate(value if isinstance(value, list) else [value]):
        text = element[key] if key and element else element
        if text is not None:
            yield position, text
