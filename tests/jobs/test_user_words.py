"""A run with words of the corpus's own: they are in the tokens of every part, and what was done is on record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kizami.analysis.dictionary import bundled_dictionary, fingerprint
from kizami.analysis.shown import Normalisation
from kizami.analysis.user_dictionary import UserDictionary
from kizami.errors import ConfigurationError
from kizami.ledger import State
from kizami.stores import open_store
from support.job import configuration, kizami, run
from support.kitchen import write_jsonl
from support.reference import compile_words, reference_tokens
from support.store_contents import Published, ledger, published

pytestmark = pytest.mark.ray

WORDS = [
    "塩こうじ,,,3000,名詞,普通名詞,一般,*,*,*,シオコウジ,塩麹",
    "ABC順,,,-3000,名詞,普通名詞,一般,*,*,*",
    "肉じゃが,5146,5146,-9000,料理名",
]
MORE = 'user_dictionary = "words.csv"\n'


def documents() -> list[dict[str, Any]]:
    """Forty recipes, enough for two parts."""
    return [
        {"recipe_id": f"r-{number:02d}", "title": f"肉じゃが{number}", "steps": ["塩こうじをABC順に入れる。", "煮る。"]}
        for number in range(40)
    ]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of a corpus with words of its own, in two parts, in a local folder."""
    write_jsonl(tmp_path / "source" / "recipes.jsonl", documents())
    (tmp_path / "words.csv").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return configuration(
        tmp_path, store="./store", source="./source", part_bytes="1500B", fields=["title", "steps"], more=MORE
    )


def assert_has_the_words(snapshot: Published, words: list[str], folder: Path) -> None:
    """Every text's tokens, in every part, are the reference's."""
    assert len(snapshot.manifest.parts) == 2
    compiled = compile_words(words, Normalisation.UNIDIC, folder)
    columns = ["surface", "start", "pos1", "lemma", "is_unknown"]
    for part in snapshot.parts(["text", *columns]):
        assert len(part)
        for row in part.to_pylist():
            expected = reference_tokens(row["text"], Normalisation.UNIDIC, compiled)
            assert {name: row[name] for name in columns} == {name: expected[name] for name in columns}


def test_every_part_has_the_words(local_ray: int, config: Path, tmp_path: Path) -> None:
    """Each worker compiles the words; fingerprint, manifest and ledger have them; the same again is nothing to do."""
    result = run(config)
    snapshot = published(result.store)
    assert_has_the_words(snapshot, WORDS, tmp_path)
    lemmas = {lemma for row in snapshot.rows(["lemma"])["lemma"].to_pylist() for lemma in row}
    assert {"塩麹", "ABC順", "肉じゃが"} <= lemmas
    dictionary = bundled_dictionary().with_words(UserDictionary("words.csv", (tmp_path / "words.csv").read_bytes()))
    assert snapshot.manifest.fingerprint == fingerprint(dictionary, Normalisation.UNIDIC)
    assert snapshot.pointer.fingerprint == result.entry.fingerprint == snapshot.manifest.fingerprint
    assert snapshot.manifest.provenance.versions["dictionary"] == dictionary.name
    assert " + words.csv (3 entries, SHA-256 " in ledger(result.store)[0].versions["dictionary"]
    assert run(config).entry.state is State.UNCHANGED


def test_other_words_are_another_analysis(local_ray: int, config: Path, tmp_path: Path) -> None:
    """A changed file makes a new snapshot of the same source in which no text keeps its tokens unseen."""
    first = published(run(config).store)
    words = [WORDS[0], WORDS[2]]
    (tmp_path / "words.csv").write_text("\n".join(words), encoding="utf-8")
    result = run(config)
    second = published(result.store)
    assert result.entry.state is State.PUBLISHED
    assert result.entry.counts.texts_analysed == len(second.texts()) == 120
    assert second.manifest.fingerprint != first.manifest.fingerprint
    assert_has_the_words(second, words, tmp_path)


def test_a_plan_knows_the_words(
    local_ray: int, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What they make of the source is what a run would do: nothing after a run, everything after an edit of theirs,
    and a bad line is named as a run names it."""
    snapshot = run(config).pointer.snapshot
    code, plan, _ = kizami(capsys, "plan", "recipes", "--config", config)
    assert (code, plan["published"], plan["texts_analysed"]) == (0, snapshot, 0)
    (tmp_path / "words.csv").write_text(WORDS[0], encoding="utf-8")
    code, plan, stderr = kizami(capsys, "plan", "recipes", "--config", config)
    assert (code, plan["published"], plan["texts_analysed"], plan["texts_reused"]) == (0, None, 120, 0)
    assert "user dictionary words.csv (1 entry, SHA-256 " in stderr
    assert run(config).entry.counts.texts_analysed == plan["texts_analysed"]
    (tmp_path / "words.csv").write_text("酢,5146,5146,酸っぱい,名詞", encoding="utf-8")
    code, answer, _ = kizami(capsys, "plan", "recipes", "--config", config)
    assert (code, "line 1 has cost" in answer["message"]) == (78, True)


@pytest.mark.s3
def test_words_on_s3_are_found(local_ray: int, config: Path, tmp_path: Path, s3_url: str) -> None:
    """The file may lie on S3, under a URL of its own."""
    open_store(s3_url).put("words/own.csv", "\n".join(WORDS).encode())
    config.write_text(config.read_text("utf-8").replace('"words.csv"', f'"{s3_url}/words/own.csv"'), "utf-8")
    assert_has_the_words(published(run(config).store), WORDS, tmp_path)


def test_a_bad_line_or_a_missing_file_exits_78(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names file and line, the ledger has it, and nothing is read or published."""
    (tmp_path / "words.csv").write_text("\n".join([*WORDS, "酢,5146,5146,酸っぱい,名詞"]), encoding="utf-8")
    code, answer, _ = kizami(capsys, "run", "recipes", "--config", config)
    assert (code, answer["exit_code"]) == (78, 78)
    assert answer["message"].startswith(
        f"user dictionary {tmp_path}/words.csv, line 4 has cost '酸っぱい': write a whole"
    )
    (tmp_path / "words.csv").unlink()
    with pytest.raises(ConfigurationError, match=r"words\.csv: there is no such file"):
        run(config)
    entries = ledger(str(tmp_path / "store"))
    assert [(entry.state, entry.exit_code) for entry in entries] == [(State.FAILED, 78)] * 2
    assert all((entry.stage, entry.counts.texts) == ("dictionary", 0) for entry in entries)
