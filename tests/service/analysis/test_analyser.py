"""The analyser gives the reference's tokens, all columns, whatever the text."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kizami.analysis.analyser import Analyser, bundled_analyser
from kizami.analysis.dictionary import ANALYSIS_VERSION, bundled_dictionary, fingerprint
from kizami.analysis.shown import Normalisation
from kizami.encoded import PLAIN_TOKENS, TOKENS
from support import corpora
from support.reference import reference_tokens

HARD_TEXTS = [
    "",
    " ",
    "　\n\t\r\n ",
    "卵を割り、よく混ぜる。",
    "レンジで2分チンする。「おいしい。」と言った。",
    "塩\u3000少々、\u00a0砂糖\u2028大さじ1",
    "a\x00b\x01卵\x7f\x85。",
    "ｶﾞｽﾚﾝｼﾞで1,000㌘のﾌﾟﾘﾝ",
    "か\u3099くせい、は\u309aん。ア\u3099",
    "👨‍👩‍👧と🍳を食べる🇯🇵",
    '"引用",カンマ,\\n\\t%m',
    "＊*※☆",
    "〳〵ゝゞ々〆ヶ",
    "𠮟る𩸽",
    "あ" + " " * 70_000 + "い",
    "い" * 5000 + "、" + "漢" * 5000,
    "\ufeff卵",
    "ABC abc ＡＢＣ",
    "\U0010ffff\ue000",
]


@pytest.fixture(params=list(Normalisation))
def analyser(request: pytest.FixtureRequest) -> Analyser:
    """The process's analyser, with each normalisation."""
    return bundled_analyser(request.param)


def assert_is_reference(analyser: Analyser, texts: Sequence[str]) -> None:
    """Compare the tokens of a batch, column by column, with the reference's."""
    analysis = analyser.analyse(texts)
    assert not analysis.failures
    assert analysis.tokens.schema == TOKENS
    columns = analysis.tokens.to_pydict()
    expected = [reference_tokens(text, analyser.normalisation) for text in texts]
    for name in TOKENS.names:
        assert columns[name] == [tokens[name] for tokens in expected], name


def assert_slices(texts: Sequence[str], tokens: pa.Table) -> None:
    """Each surface is a slice of its text, in order, with nothing but white space and controls between."""
    for text, row in zip(texts, tokens.select(["surface", "start"]).to_pylist(), strict=True):
        end = 0
        for surface, start in zip(row["surface"], row["start"], strict=True):
            assert text[start : start + len(surface)] == surface
            assert all(gap.isspace() or unicodedata.category(gap) == "Cc" for gap in text[end:start])
            end = start + len(surface)
        assert all(gap.isspace() or unicodedata.category(gap) == "Cc" for gap in text[end:])


def test_hard_texts_have_the_reference_tokens(analyser: Analyser) -> None:
    """Blank, long, half-width, combining, quoting and astral texts come out as the reference has them."""
    assert_is_reference(analyser, HARD_TEXTS)
    assert_slices(HARD_TEXTS, analyser.analyse(HARD_TEXTS).tokens)


@given(
    texts=st.lists(
        st.text(
            st.one_of(
                st.sampled_from("卵を割る。、「」ガｶﾞﾊﾟか\u3099\u309aー1a,\"'\t\n\x00\u3000\u00a0\u2028＊*🍳\u200d"),
                st.characters(exclude_categories=["Cs"]),
            ),
            max_size=60,
        ),
        max_size=5,
    ),
    normalisation=st.sampled_from(Normalisation),
)
@settings(deadline=None)
def test_any_text_has_the_reference_tokens(texts: list[str], normalisation: Normalisation) -> None:
    """Text of any characters gives the reference's tokens."""
    assert_is_reference(bundled_analyser(normalisation), texts)


def plain_tokens(analyser: Analyser, texts: Sequence[str]) -> pa.Table:
    """The tokens of texts as files hold them."""
    return analyser.analyse(texts).tokens.cast(PLAIN_TOKENS)


def test_what_the_analyser_remembers_changes_nothing(analyser: Analyser) -> None:
    """Tokens are the same before, during and after other texts, and when everything remembered is dropped."""
    first = plain_tokens(analyser, HARD_TEXTS)
    analyser.analyse(["全然違う文章を挟む。"])
    assert plain_tokens(analyser, HARD_TEXTS).equals(first)
    fresh = Analyser(analyser.dictionary, analyser.normalisation)
    assert plain_tokens(fresh, HARD_TEXTS).equals(first)
    analyser.forget()
    assert plain_tokens(analyser, HARD_TEXTS).equals(first)


def test_words_are_forgotten_in_good_time(analyser: Analyser, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for a few words only, tokens are the same, batch after batch, and few words stay."""
    texts = [*HARD_TEXTS, "全然違う文章を挟む。"]
    expected = [plain_tokens(analyser, [text]) for text in texts]
    monkeypatch.setattr("kizami.analysis.analyser._LEXICON_LIMIT", 3)
    small = Analyser(analyser.dictionary, analyser.normalisation)
    for _ in range(2):
        for text, tokens in zip(texts, expected, strict=True):
            assert plain_tokens(small, [text]).equals(tokens)
            assert len(small._lexicon) <= 3


def test_no_text_is_a_table_without_rows(analyser: Analyser) -> None:
    """An empty batch gives an empty table of the right schema."""
    assert analyser.analyse([]).tokens.equals(TOKENS.empty_table())


def test_a_text_that_comes_back_incomplete_fails_alone() -> None:
    """Where MeCab drops or changes a text, that text fails with a message and the others are analysed."""
    analyser = Analyser(bundled_dictionary(), Normalisation.UNIDIC)
    parse = analyser._parse

    def faulty(sentence: str) -> str:
        if "毒" in sentence:
            return ""
        return str(parse(sentence.replace("呪", "祝")))

    analyser._parse = faulty
    texts = ["卵を割る。", "毒を盛る。", "呪う。", "混ぜる。"]
    analysis = analyser.analyse(texts)
    assert dict(analysis.failures) == {
        1: "MeCab dropped a part of the text",
        2: "MeCab's surfaces are not the text's",
    }
    surfaces = analysis.tokens["surface"].to_pylist()
    assert surfaces == [["卵", "を", "割る", "。"], [], [], ["混ぜる", "。"]]
    assert not any("毒" in message or "呪" in message for message in analysis.failures.values())


CORPORA = [
    *corpora.RECIPES,
    "general_wikipedia.jsonl.gz",
    "short_jglue_captions.jsonl.gz",
    "gold_gsd_dev.jsonl.gz",
    "gold_gsd_train.jsonl.gz",
]


def assert_corpus_is_reference(analyser: Analyser, texts: Iterable[str]) -> None:
    """Compare all texts with the reference in batches of a few hundred kB, as a part's are."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size > 200_000:
            assert_is_reference(analyser, batch)
            batch, size = [], 0
    assert_is_reference(analyser, batch)


@pytest.mark.shared
@pytest.mark.parametrize("name", CORPORA)
def test_every_text_of_a_corpus_has_the_reference_tokens(name: str, analyser: Analyser, shared_corpora: None) -> None:
    """Every text of the corpora but the largest gives the tokens of fugashi.Tagger, all columns."""
    assert_corpus_is_reference(analyser, corpora.texts(name))


BULK = "bulk_aozora.jsonl.zst"


@pytest.mark.shared
def test_a_tenth_of_the_largest_corpus_has_the_reference_tokens(analyser: Analyser, shared_corpora: None) -> None:
    """Every tenth document of bulk_aozora gives the tokens of fugashi.Tagger, all columns."""
    assert_corpus_is_reference(analyser, islice(corpora.texts(BULK), 0, None, 10))


@pytest.mark.exact
@pytest.mark.shared
def test_all_of_the_largest_corpus_has_the_reference_tokens(analyser: Analyser, shared_corpora: None) -> None:
    """Every document of bulk_aozora gives the tokens of fugashi.Tagger, all columns."""
    assert_corpus_is_reference(analyser, corpora.texts(BULK))


GOLDEN = "f66e24b7d40ac9ca"


def test_tokens_do_not_change_without_a_new_analysis_version() -> None:
    """The digest of the hard texts' tokens is that of the analysis version: whoever changes one changes both."""
    digest = hashlib.sha256()
    for normalisation in Normalisation:
        columns: dict[str, list[Any]] = bundled_analyser(normalisation).analyse(HARD_TEXTS).tokens.to_pydict()
        digest.update(json.dumps(columns, ensure_ascii=False).encode())
    assert (ANALYSIS_VERSION, digest.hexdigest()[:16]) == (1, GOLDEN)


def test_the_fingerprint_tells_normalisations_and_dictionaries_apart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Another normalisation or one changed byte of a dictionary file gives another fingerprint."""
    dictionary = bundled_dictionary()
    assert fingerprint(dictionary, Normalisation.UNIDIC) != fingerprint(dictionary, Normalisation.NONE)
    folder = tmp_path_factory.mktemp("dictionary")
    for name in ("char.bin", "dicrc", "matrix.bin", "sys.dic"):
        (folder / name).symlink_to(dictionary.folder / name)
    (folder / "unk.dic").write_bytes((dictionary.folder / "unk.dic").read_bytes() + b"\0")
    changed = type(dictionary)(folder, "changed")
    assert fingerprint(changed, Normalisation.UNIDIC) != fingerprint(dictionary, Normalisation.UNIDIC)


def test_whole_sentences_are_not_looked_through_for_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences that the tokens rebuild, be they ASCII or not, are found whole at once, not one by one."""

    def unexpected(*_: object) -> None:
        raise AssertionError("looked for faults one by one")

    monkeypatch.setattr("kizami.analysis.analyser._faults", unexpected)
    analysis = bundled_analyser().analyse([*HARD_TEXTS, "cooking time 5 min"])
    assert analysis.failures == {}
