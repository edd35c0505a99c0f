"""A source over some days, as hypothesis makes it up: documents come, change, move and go, files are cut anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

from support.kitchen import Recipe

FAILING: Final = "壊れた文"
"""A text that the tests' analyser cannot analyse."""
_TEXTS: Final = (
    "卵を焼く。",
    "だしをとる。",
    "塩をふる。\n混ぜる。",
    "",
    "　",
    "ﾄﾏﾄ2個",
    "卵",
    "弱火で15分煮る。",
    FAILING,
)
_IDS: Final = tuple(f"{letter}{number}" for letter in "aかｚ🍣" for number in range(4))

Text = st.sampled_from(_TEXTS)
_FAULTS: Final = (
    b'{"recipe_id": null, "title": "\xe5\x8d\xb5"}',
    b'{"recipe_id": "a1", "title": 5}',
    b'{"recipe_id": "\xe3\x81\x8b2", "title": "\xe5\x8d\xb5", "steps": ["\xe5\x8d\xb5"]}',
    b"{broken",
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Recipe]:
    """A corpus by id."""
    made = {}
    for doc_id in draw(st.lists(st.sampled_from(_IDS), unique=True, max_size=10)):
        made[doc_id] = {"recipe_id": doc_id, "title": draw(Text | st.none()), "steps": draw(st.lists(Text, max_size=4))}
    return made


@st.composite
def edits(draw: st.DrawFn, corpus: dict[str, Recipe]) -> dict[str, Recipe]:
    """The corpus a day later."""
    later = dict(corpus)
    for _ in range(draw(st.integers(0, 4))):
        doc_id = draw(st.sampled_from(_IDS))
        if doc_id not in later:
            later[doc_id] = {"recipe_id": doc_id, "title": draw(Text), "steps": draw(st.lists(Text, max_size=4))}
            continue
        change = draw(st.sampled_from(["delete", "edit", "move", "reorder"]))
        document = later.pop(doc_id)
        if change == "edit":
            later[doc_id] = {**document, "title": draw(Text)}
        elif change == "reorder":
            later[doc_id] = {**document, "steps": document["steps"][::-1]}
        elif change == "move":
            target = draw(st.sampled_from(_IDS))
            later[target] = {**document, "recipe_id": target}
    return later


@st.composite
def sources(draw: st.DrawFn, corpus: dict[str, Recipe]) -> dict[str, bytes]:
    """The corpus as files, in some order, at times with records at fault."""
    lines = [json.dumps(document, ensure_ascii=False).encode() for document in corpus.values()]
    lines += draw(st.lists(st.sampled_from(_FAULTS), max_size=2))
    lines = draw(st.permutations(lines))
    names = [f"{draw(st.sampled_from('abc'))}{number}.jsonl" for number in range(draw(st.integers(1, 3)))]
    return {name: b"".join(line + b"\n" for line in lines[number :: len(names)]) for number, name in enumerate(names)}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """The files of a day, in a folder that holds nothing else."""
    folder.mkdir(parents=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    return folder


def rows_of(quarantine: Any) -> list[Any]:
    """Rows of quarantine in an order of their own."""
    return sorted(map(repr, quarantine.to_pylist()))
