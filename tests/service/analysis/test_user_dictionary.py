"""With words of a corpus's own the analyser still gives the reference's tokens, all columns."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kizami.analysis import user_dictionary
from kizami.analysis.analyser import Analyser, process_analyser
from kizami.analysis.dictionary import Dictionary, bundled_dictionary, fingerprint
from kizami.analysis.guard import GuardedAnalyser
from kizami.analysis.lexicon import Lexicon
from kizami.analysis.shown import Normalisation
from kizami.analysis.user_dictionary import UserDictionary, inspect, read_user_dictionary
from kizami.encoded import TOKENS
from kizami.errors import ConfigurationError, UnavailableError
from kizami.stores import open_store
from support import corpora
from support.reference import compile_words, reference_tokens

FULL = "塩こうじ,,,3000,名詞,普通名詞,一般,*,*,*,シオコウジ,塩麹,塩こうじ,シオコージ,塩こうじ,シオコージ,混,*,*,*,*"
WORDS = [
    FULL,
    "ポン酢しょうゆ,5146,5146,2000,名詞,普通名詞,一般,*,*,*,ポンズショウユ,ポン酢醤油,ポン酢しょうゆ",
    "ABC順,,,-3000,名詞,普通名詞,一般,*,*,*",
    "ﾎﾟﾝ酢,,,-3000,名詞,普通名詞,一般,*,*,*,,ポン酢",
    "New York,,,-9000,名詞,固有名詞,地名,一般,*,*,,ニューヨーク-New York",
    '"1,000島",5146,5146,-9000,名詞,"普通,名詞",*,,,*,サウザンドアイランド',
    "切り昆布,5146,5146,-2000,名詞",
    "「雪見」大福,,,-5000,名詞,普通名詞,一般,*,*,*,ユキミダイフク,*,*,,*",
    "モーニング娘。,,,-5000,名詞,固有名詞,一般,*,*,*",
    "か\u3099んも,,,-5000,名詞,普通名詞,一般,*,*,*",
    "𠮷野家,,,-5000,名詞,固有名詞,一般,*,*,*",
    "大さじ,,,-9000,名詞,普通名詞,助数詞可能,*,*,*,オオサジ,大匙,大さじ,オーサジ,大さじ,オーサジ,和,*,*,*,*",
    "の,802,802,3360,私,*,*,*,*,*",
]
TEXTS = [
    "塩こうじとポン酢しょうゆをABC順に並べる。ＡＢＣ順。",
    "ﾎﾟﾝ酢とポン酢、ホ\u309aン酢。",
    "New York、New\u3000York、New\tYork、NewYork、New  York",
    "1,000島のドレッシング、１，０００島",
    "切り昆布の「雪見」大福。『「雪見」大福』",
    "モーニング娘。のがんも、か\u3099んも、ｶﾞんも",
    "𠮷野家で大さじ2、大さじ１",
    "",
    "　",
]


def dictionary_of(lines: Sequence[str]) -> Dictionary:
    """The bundled dictionary with these words."""
    return bundled_dictionary().with_words(UserDictionary("words.csv", ("\n".join(lines) + "\n").encode()))


def assert_is_reference(lines: Sequence[str], normalisation: Normalisation, texts: Sequence[str]) -> Analyser:
    """Compare tokens, column by column, with those of fugashi.Tagger with its own user dictionary."""
    analyser = Analyser(dictionary_of(lines), normalisation)
    analysis = analyser.analyse(texts)
    assert not analysis.failures
    columns = analysis.tokens.to_pydict()
    with tempfile.TemporaryDirectory() as folder:
        words = compile_words(list(lines), normalisation, Path(folder))
        expected = [reference_tokens(text, normalisation, words) for text in texts]
    for name in TOKENS.names:
        assert columns[name] == [tokens[name] for tokens in expected], name
    return analyser


@pytest.mark.parametrize("normalisation", Normalisation)
def test_words_of_every_kind_have_the_reference_tokens(normalisation: Normalisation) -> None:
    """Full and short entries, ASCII, half-width, composing, quoted and astral surfaces, white space and brackets in
    them."""
    assert_is_reference(WORDS, normalisation, TEXTS)


@pytest.mark.parametrize("normalisation", Normalisation)
@pytest.mark.shared
@pytest.mark.parametrize("name", corpora.RECIPES)
def test_recipes_have_the_reference_tokens_with_words_of_their_own(
    name: str, normalisation: Normalisation, shared_corpora: None
) -> None:
    """Every text of three recipe corpora, with the words above and a thousand slices of the texts themselves, which
    cross all words of the dictionary."""
    texts = list(corpora.texts(name))
    chance = random.Random(1)
    slices = []
    for text in chance.choices([text for text in texts if len(text) > 3], k=1000):
        start = chance.randrange(len(text) - 2)
        word = "".join(text[start : start + chance.randint(2, 5)].split()).replace('"', "").replace(",", "")
        slices.append(f"{word or '塩'},5146,5146,{chance.randint(-3000, 9000)},名詞,普通名詞,一般")
    analyser = assert_is_reference([*WORDS, *slices], normalisation, texts)
    surfaces = {word for row in analyser.analyse(texts).tokens["surface"].to_pylist() for word in row}
    assert len(surfaces & {line.partition(",")[0] for line in slices}) > 100


def surfaces_of(words: Sequence[str], text: str, normalisation: Normalisation = Normalisation.UNIDIC) -> list[str]:
    """The tokens of a text."""
    tokens = Analyser(dictionary_of(words), normalisation).analyse([text]).tokens
    surfaces: list[str] = tokens["surface"].to_pylist()[0]
    return surfaces


@pytest.mark.parametrize("normalisation", Normalisation)
def test_ascii_words_match_the_text_as_it_is_written(normalisation: Normalisation) -> None:
    """An entry of ASCII letters is found in ASCII text with either normalisation, in full width with unidic alone."""
    assert surfaces_of(WORDS, "ABC順に", normalisation) == ["ABC順", "に"]
    unidic = normalisation is Normalisation.UNIDIC
    assert (surfaces_of(WORDS, "ＡＢＣ順に", normalisation) == ["ＡＢＣ順", "に"]) is unidic


def test_features_that_an_entry_leaves_out_are_none() -> None:
    """Null where the schema has null for none; the surface as lemma and dictionary form; never unknown."""
    row = Analyser(dictionary_of(WORDS), Normalisation.UNIDIC).analyse(["切り昆布", "塩こうじ"]).tokens.to_pylist()
    short, full = ({name: value[0] for name, value in each.items()} for each in row)
    none = {"pos2", "pos3", "pos4", "c_type", "c_form", "l_form", "pron", "goshu"}
    assert {name for name, value in short.items() if value is None} == none
    assert (short["pos1"], short["lemma"], short["orth_base"]) == ("名詞", "切り昆布", "切り昆布")
    assert short["is_unknown"] is False
    assert (full["lemma"], full["l_form"], full["pron"], full["goshu"]) == ("塩麹", "シオコウジ", "シオコージ", "混")


def test_of_equal_entries_the_dictionarys_own_then_the_first_is_chosen() -> None:
    """Where surface, ids and cost are all the same, as MeCab does."""
    words = ["の,802,802,3360,私", "銀河鍋,1,1,-9000,先", "銀河鍋,1,1,-9000,後"]
    analyser = assert_is_reference(words, Normalisation.UNIDIC, ["銀河鍋の"])
    assert analyser.analyse(["銀河鍋の"]).tokens["pos1"].to_pylist() == [["先", "助詞"]]


def test_entries_that_differ_in_their_right_id_alone_are_told_apart() -> None:
    """From each other and from the dictionary's own, though all else that names them agrees."""
    words = [f"の,802,{right},3360,右{right}" for right in range(0, 5000, 20)]
    texts = ["塩の鍋", "卵のふわふわ。", "の", "鍋の"]
    found = assert_is_reference(words, Normalisation.UNIDIC, texts).analyse(texts).tokens["pos1"].to_pylist()
    assert {pos1 for row in found for pos1 in row if pos1.startswith("右")}


_SYSTEM = Lexicon(bundled_dictionary().folder)._known
_NUMBERS = random.Random(2).sample(range(len(_SYSTEM.tokens)), 300)
_ORTH = [line.decode().split(",")[8] for line in _SYSTEM.features(np.array(_NUMBERS))]
_OWN = [
    f"{orth},{token['left']},{token['right']},{token['cost']}"
    for orth, token in zip(_ORTH, _SYSTEM.tokens[_NUMBERS], strict=True)
    if not set(orth) & set('", 　') and "日本" not in orth  # by the features of 日本 fugashi tells dictionaries apart
]
part = st.sampled_from(
    ["塩", "だし", "A", "ｶﾞ", "か\u3099", "1", "𠮷", "大さじ", "。", "「", "!", "-", "の", "ー", "é", "卵"]
)
surface = st.lists(part, min_size=1, max_size=4).map("".join)
entry = st.one_of(
    st.sampled_from(_OWN),
    st.tuples(surface, st.integers(0, 5980), st.integers(0, 5980), st.integers(-9000, 9000)).map(
        lambda columns: ",".join(map(str, columns))
    ),
    surface.map(lambda word: f"{word},5146,5146,-3000"),
)
features = st.sampled_from(
    ["甲", "乙,*,*", "丙,,,,,,ヨミ", "丁,*,*,*,*,*,,語彙素,,,*", '戊,"あ,い",*,*,*,*,,"う""え"', FULL[15:]]
)


@given(
    lines=st.lists(st.tuples(entry, features).map(",".join), min_size=1, max_size=30),
    texts=st.lists(st.lists(st.one_of(part, st.sampled_from(_ORTH)), max_size=20).map("".join), max_size=8),
    normalisation=st.sampled_from(Normalisation),
)
@settings(deadline=None, max_examples=60)
def test_any_words_have_the_reference_tokens(lines: list[str], texts: list[str], normalisation: Normalisation) -> None:
    """Words that equal the dictionary's own in all but their features, each other, or nothing at all, in texts made of
    them."""
    surfaces = [line.partition(",")[0] for line in lines]
    assert_is_reference(lines, normalisation, [*texts, "".join(surfaces), "の".join(surfaces)])


def test_the_fingerprint_has_the_bytes_of_the_file() -> None:
    """Another byte is another fingerprint, another place of the file is not; without words it is the dictionary's."""
    plain = bundled_dictionary()
    content = FULL.encode()
    found = {
        fingerprint(dictionary, normalisation)
        for normalisation in Normalisation
        for dictionary in (
            plain,
            plain.with_words(UserDictionary("/a/words.csv", content)),
            plain.with_words(UserDictionary("/a/words.csv", content + b"\n")),
            plain.with_words(UserDictionary("/b/others.csv", content)),
        )
    }
    assert len(found) == 6
    assert fingerprint(plain.with_words(None), Normalisation.UNIDIC) == fingerprint(plain, Normalisation.UNIDIC)


def test_the_name_tells_the_file_its_entries_and_its_digest() -> None:
    """What provenance says of it, with or without a last line end."""
    name = "unidic-lite 1.0.8 + words.csv (2 entries, SHA-256 96086ce5a0c07f15)"
    assert bundled_dictionary().with_words(UserDictionary("s3://b/words.csv", b"a,1,1,1,b\nb,1,1,1,c")).name == name
    assert UserDictionary("words.csv", b"a,1,1,1,b\n").name.startswith("words.csv (1 entry, ")


def test_a_process_has_one_analyser_a_user_dictionary() -> None:
    """The same bytes, read again, find it; other bytes get another one."""
    first = process_analyser(dictionary_of(WORDS), Normalisation.UNIDIC)
    assert process_analyser(dictionary_of(WORDS), Normalisation.UNIDIC) is first
    assert process_analyser(dictionary_of(WORDS[:2]), Normalisation.UNIDIC) is not first


def test_nothing_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled file is gone when the analyser is made, in a folder of whatever name."""
    folder = tmp_path / "of, all's names"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    analyser = Analyser(dictionary_of(WORDS), Normalisation.UNIDIC)
    assert not list(folder.iterdir())
    assert analyser.analyse(["塩こうじ"]).tokens["lemma"].to_pylist() == [["塩麹"]]


def test_the_guarded_analyser_knows_the_words() -> None:
    """They travel to its child."""
    with GuardedAnalyser(partial(Analyser, dictionary_of(WORDS), Normalisation.UNIDIC), 100) as analyser:
        assert analyser.analyse(["塩こうじ"]).tokens["lemma"].to_pylist() == [["塩麹"]]


def test_a_part_of_speech_without_ids_is_named() -> None:
    """Of several lines that ask for ids, the first for which the dictionary has none."""
    sound = [f"塩{number},,,3000,名詞,普通名詞,一般,*,*,*" for number in range(50)]
    lines = [*sound, "酢,1,1,1,名詞,普通,一般", "味噌,,,3000,名詞,普通,一般,*,*,*", "油,,,3000,名詞,一般,*,*,*,*"]
    with pytest.raises(ConfigurationError) as raised:
        Analyser(dictionary_of(lines), Normalisation.UNIDIC)
    assert str(raised.value) == (
        "user dictionary words.csv, line 52 gives no context ids, and the dictionary has none for "
        "名詞,普通,一般,*,*,*: correct these features, write 17 with the goshu among them, or give both ids"
    )


@pytest.mark.parametrize(
    ("program", "message"), [("/bin/false", "MeCab's indexer ended with 1"), ("/nowhere/python", "No such file")]
)
def test_a_host_that_cannot_compile_is_named_not_the_words(
    program: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with the host is no line's fault."""
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(
        UnavailableError, match=r"user dictionary words\.csv cannot be compiled on host \S+: "
    ) as raised:
        Analyser(dictionary_of(WORDS), Normalisation.UNIDIC)
    assert message in str(raised.value)


def test_a_hundred_thousand_words_are_all_there() -> None:
    """The first and the last of very many are found."""
    words = [f"鍋{number}番,5146,5146,-9000,名詞,,,,,,,{number}" for number in range(100_000)]
    tokens = Analyser(dictionary_of(words), Normalisation.UNIDIC).analyse(["鍋0番鍋99999番鍋100000番"]).tokens
    assert tokens["lemma"].to_pylist()[0][:2] == ["0", "99999"]


def test_what_there_is_to_say_is_said() -> None:
    """Name, entries, and words that a sentence's end keeps from being found."""
    folder = bundled_dictionary().folder
    said = inspect(UserDictionary("words.csv", "塩,1,1,1,名\nHey!Say,1,1,1,名".encode()), folder, Normalisation.UNIDIC)
    assert said.startswith("user dictionary words.csv (2 entries, SHA-256 ")
    assert "; 1 of them, the first on line 2, will be found only within brackets" in said
    assert "brackets" not in inspect(UserDictionary("words.csv", FULL.encode()), folder, Normalisation.UNIDIC)


def test_a_file_is_read_whole_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, a folder and a file too large are errors of the configuration that name the file."""
    path = tmp_path / "words.csv"
    for wrong in (path, tmp_path):
        with pytest.raises(ConfigurationError, match=r"user dictionary \S+: there is no such file"):
            read_user_dictionary(str(wrong))
    path.write_bytes(FULL.encode())
    assert read_user_dictionary(str(path)) == UserDictionary(str(path), FULL.encode())
    monkeypatch.setattr(user_dictionary, "SIZE_LIMIT_BYTES", len(FULL.encode()) - 1)
    with pytest.raises(ConfigurationError, match="is larger than"):
        read_user_dictionary(str(path))


@pytest.mark.s3
def test_a_file_on_s3_is_read(s3_url: str) -> None:
    """By its URL; one that is not there is an error of the configuration."""
    open_store(s3_url).put("words/own.csv", FULL.encode())
    assert read_user_dictionary(f"{s3_url}/words/own.csv").content == FULL.encode()
    with pytest.raises(ConfigurationError, match=r"other\.csv: there is no such file"):
        read_user_dictionary(f"{s3_url}/words/other.csv")
