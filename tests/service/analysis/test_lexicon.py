"""The dictionary's entries are found by what MeCab prints of a token, and have the features MeCab prints."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import fugashi
import numpy as np
import pyarrow as pa
import pytest

from kizami.analysis.dictionary import bundled_dictionary
from kizami.analysis.lexicon import FEATURE_COLUMNS, Lexicon, PrintedTokens
from kizami.errors import ConfigurationError

PLACES = {"pos1": 0, "pos2": 1, "pos3": 2, "pos4": 3, "c_type": 4, "c_form": 5}
PLACES |= {"l_form": 6, "lemma": 7, "pron": 9, "orth_base": 10, "goshu": 12}


def printed(surface: str, *, is_unknown: bool, left: int, cost: int, right: int | None = None) -> PrintedTokens:
    """One token as MeCab prints it."""
    numbers = {"left": left, "cost": cost, "right": right}
    arrays = {name: np.array([number], np.int64) for name, number in numbers.items() if number is not None}
    return PrintedTokens(pa.array([surface]), np.array([is_unknown]), **arrays)


def words(count: int) -> list[str]:
    """Words of the dictionary, among them all that MeCab's own tie-breaking must decide between."""
    lexicon = Lexicon(bundled_dictionary().folder)
    tokens = lexicon._known.tokens
    features = lexicon._known.features(np.array(random.Random(1).sample(range(len(tokens)), count)))
    return [line.decode().split(",")[8] for line in features]


@pytest.fixture(scope="module")
def printer() -> fugashi.GenericTagger:
    """A tagger that prints both what names an entry and its features."""
    line = r"%m\t{}\t%phl\t%phr\t%pw\t%H\n"
    folder = bundled_dictionary().folder
    return fugashi.GenericTagger(f"-r /dev/null -d '{folder}' -O '' -F'{line.format(0)}' -U'{line.format(1)}' -E ''")


@pytest.mark.parametrize("with_right", [False, True])
def test_twenty_thousand_words_have_the_features_mecab_prints(printer: fugashi.GenericTagger, with_right: bool) -> None:
    """Looked up by id or ids and cost, each token has what MeCab's own %H says of it, homographs included."""
    lines = [line.split("\t") for word in words(20_000) for line in printer.parse(word).split("\n") if line]
    surface, unknown, left, right, cost, features = zip(*lines, strict=True)
    lexicon = Lexicon(bundled_dictionary().folder)
    numbers = {"left": left, "cost": cost} | ({"right": right} if with_right else {})
    rows = lexicon.rows(
        PrintedTokens(
            pa.array(surface),
            np.array(unknown) == "1",
            **{name: np.array(values, np.int64) for name, values in numbers.items()},
        )
    )
    assert len(set(rows.tolist())) > 10_000
    for name in FEATURE_COLUMNS:
        found = lexicon.column(name).take(pa.array(rows)).to_pylist()
        for one, line in zip(found, features, strict=True):
            values = line.split(",")
            value = values[PLACES[name]] if len(values) > PLACES[name] else None
            none = "*" if PLACES[name] < 6 else ""
            assert one == (None if value == none else value)


def test_a_lexicon_that_shrinks_keeps_what_was_asked_for_again(printer: fugashi.GenericTagger) -> None:
    """What was asked for once is dropped, the rest keeps its features, and all are found again when asked for."""
    lines = [line.split("\t") for word in words(3_000) for line in printer.parse(word).split("\n") if line]
    surface, unknown, left, _, cost, _ = zip(*lines, strict=True)
    numbers = {"left": np.array(left, np.int64), "cost": np.array(cost, np.int64)}
    tokens = PrintedTokens(pa.array(surface), np.array(unknown) == "1", **numbers)
    half = len(surface) // 2
    some = PrintedTokens(
        tokens.surface[:half], tokens.is_unknown[:half], left=tokens.left[:half], cost=tokens.cost[:half]
    )

    def features(asked: PrintedTokens) -> list[list[str | None]]:
        rows = pa.array(lexicon.rows(asked))
        return [lexicon.column(name).take(rows).to_pylist() for name in FEATURE_COLUMNS]

    lexicon = Lexicon(bundled_dictionary().folder)
    expected = features(tokens)
    again = features(some)
    whole, wanted = len(lexicon), len(set(lexicon.rows(some).tolist()))
    lexicon.shrink()
    assert len(lexicon) == wanted < whole
    assert features(some) == again
    assert len(lexicon) == wanted
    assert features(tokens) == expected
    assert len(lexicon) == whole
    lexicon.forget()
    lexicon.shrink()
    assert len(lexicon) == 0


def test_entries_that_agree_in_surface_left_id_and_cost_agree_in_right_id() -> None:
    """So the right id need not be printed to name an entry of the bundled dictionary; nor that of an unknown word."""
    lexicon = Lexicon(bundled_dictionary().folder)
    words = lexicon._known
    # The cells of the trie that hold a value are their own parents: a run of tokens each, those of one surface.
    ends = np.flatnonzero((words._check == np.arange(len(words._check))) & (words._base < 0))
    value = -words._base[ends].astype(np.int64) - 1
    count = value & 0xFF
    first = np.cumsum(count) - count
    number = np.repeat((value >> 8) - first, count) + np.arange(count.sum())
    assert sorted(number.tolist()) == list(range(len(words.tokens)))
    tokens = words.tokens[number]
    named = pa.table({"surface": np.repeat(ends, count), **{key: tokens[key] for key in ("left", "cost", "right")}})
    with_right = named.group_by(["surface", "left", "cost", "right"]).aggregate([])
    assert len(with_right.group_by(["surface", "left", "cost"]).aggregate([])) == len(with_right)
    kinds = lexicon._unknown.tokens
    assert len(lexicon._unknown_keys) == len(kinds)
    assert kinds["left"].min() > 0  # a minus before it says that the word is unknown


@pytest.mark.parametrize(
    "token",
    [
        printed("卵卵卵卵", is_unknown=False, left=1, cost=1),
        printed("卵", is_unknown=False, left=1, cost=-32_000),
        printed("\U0010ffff", is_unknown=False, left=1, cost=1),
        printed("卵", is_unknown=True, left=1, cost=1),
        printed("", is_unknown=False, left=1, right=1, cost=1),
    ],
)
def test_a_token_that_is_not_in_the_dictionary_is_an_error(token: PrintedTokens) -> None:
    """Nothing is made up for what the dictionary does not hold."""
    with pytest.raises(LookupError):
        Lexicon(bundled_dictionary().folder).rows(token)


def test_files_of_another_format_are_refused(tmp_path: Path) -> None:
    """A truncated dictionary is named, not misread."""
    for name in ("sys.dic", "unk.dic"):
        shutil.copy(bundled_dictionary().folder / "unk.dic", tmp_path / name)
    with (tmp_path / "sys.dic").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(ConfigurationError, match=r"sys\.dic is not a dictionary of MeCab 0\.996"):
        Lexicon(tmp_path)
