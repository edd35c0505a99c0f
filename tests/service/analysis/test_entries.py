"""Entries of a user dictionary are those that MeCab's indexer reads; what it would misread is an error with a line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kizami.analysis.entries import ContextIds, Entry, divided, read_entries
from kizami.analysis.lexicon import PrintedTokens, _DictionaryFile
from kizami.analysis.shown import Normalisation
from kizami.errors import ConfigurationError
from support.reference import index

IDS = ContextIds(5981, 5981)
GOOD = "塩こうじ,,,3000,名詞,普通名詞,一般,*,*,*"


def read(content: str | bytes, normalisation: Normalisation = Normalisation.NONE) -> list[Entry]:
    """The entries of a CSV called words.csv."""
    return read_entries(content.encode() if isinstance(content, str) else content, "words.csv", IDS, normalisation)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "has fewer than five columns (surface, left id, right id, cost, features); there are neither blank"),
        ("# 調味料", "there are neither blank lines nor comments"),
        ("塩こうじ,5146,5146,3000", "has fewer than five columns"),
        ("塩こうじ,5146,5146,3000,", "has fewer than five columns"),
        ("塩こうじ,5146,5146,3000, \t", "has fewer than five columns"),
        (",5146,5146,3000,名詞", "has no surface"),
        ('"",5146,5146,3000,名詞', "has no surface"),
        ("  ,5146,5146,3000,名詞", "has no surface"),
        ("塩 ,5146,5146,3000,名詞", "has white space at an end of its surface"),
        ('" 塩",5146,5146,3000,名詞', "has white space at an end of its surface"),
        ("塩\u3000,5146,5146,3000,名詞", "has white space at an end of its surface"),
        ("塩,5981,5146,3000,名詞", "has left context id '5981': the dictionary's are 0 to 5980"),
        ("塩,5146,-2,3000,名詞", "has right context id '-2'"),
        ("塩,名詞,5146,3000,名詞", "has left context id '名詞'"),
        ("塩,５１４６,5146,3000,名詞", "has left context id '５１４６'"),
        ("塩,1e3,5146,3000,名詞", "has left context id '1e3'"),
        ("塩,,5146,3000,名詞,普通名詞,一般,*,*,*", "gives one context id, which MeCab does not heed"),
        ("塩,5146,-1,3000,名詞,普通名詞,一般,*,*,*", "gives one context id, which MeCab does not heed"),
        ("塩,,,3000,名詞,普通名詞,一般", "gives no context ids, and fewer than the 6 features (pos1 to cForm)"),
        ("塩,5146,5146,,名詞", "has no cost, and the dictionary comes without the model to estimate it"),
        ("塩,5146,5146,32768,名詞", "has cost '32768': write a whole number from -32768 to 32767"),
        ("塩,5146,5146,-32769,名詞", "has cost '-32769'"),
        ("塩,5146,5146,3000.5,名詞", "has cost '3000.5'"),
        ("塩,5146,5146,3000" + ",*" * 27, "has 27 features, the dictionary 26"),
        ('塩,5146,5146,3000,"名詞",*', "has quotes round its first feature, which MeCab misreads"),
        ('塩,5146,5146,3000,名詞,"普通', "has quotes in its features that do not enclose a whole one"),
        ('"塩"こうじ,5146,5146,3000,名詞', "has quotes that do not enclose a whole column"),
        ('"塩こうじ,5146,5146,3000,名詞', "has quotes that do not enclose a whole column"),
        (GOOD + "\r", "ends with a carriage return, which MeCab takes for a part of the last feature"),
        (GOOD + "\0,*", "holds the control character U+0000"),
        ("塩\u2028こうじ" + GOOD[4:], "holds the control character U+2028"),
        (GOOD + ",*" + "読" * 2730, "is longer than the 8,191 bytes MeCab reads"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str) -> None:
    """Whatever the indexer would die of, pass over or misread, the error has file, line and reason."""
    with pytest.raises(ConfigurationError) as raised:
        read(f"{GOOD}\n{line}\n{GOOD}\n")
    assert str(raised.value).startswith("user dictionary words.csv, line 2 ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_surface_too_long_in_full_width_is_named() -> None:
    """It is the shown form that must fit the indexer's line."""
    line = "A" * 3000 + ",1,1,1,名詞"
    assert len(read(line)) == 1
    with pytest.raises(ConfigurationError, match=r"line 1 is longer than the 8,191 bytes"):
        read(line, Normalisation.UNIDIC)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbf" + GOOD.encode(), "line 1 starts with a byte order mark"),
        (f"{GOOD}\n塩こうじ,,,3000,名詞\n".encode("cp932"), "line 1 is not UTF-8"),
        (GOOD.encode() + b"\n\n\xff", "line 3 is not UTF-8"),
        (b"", "has no entries: add some, or leave user_dictionary out"),
    ],
)
def test_files_of_another_kind_are_refused(content: bytes, message: str) -> None:
    """A byte order mark, another encoding and an empty file are told apart from words."""
    with pytest.raises(ConfigurationError, match=r"words\.csv") as raised:
        read(content)
    assert message in str(raised.value)


def test_more_homographs_than_mecab_has_room_for_are_refused() -> None:
    """255 entries of a surface are all there; the 256th would make MeCab lose every one of them."""
    lines = [f"ＡＢＣ,1,1,{number},名詞" for number in range(255)]
    assert len(read("\n".join([GOOD, *lines]), Normalisation.UNIDIC)) == 256
    with pytest.raises(ConfigurationError, match=r"line 257 is entry 256 of one surface, as of line 2"):
        read("\n".join([GOOD, *lines, "ABC,1,1,0,名詞"]), Normalisation.UNIDIC)


def test_a_surface_is_read_as_texts_are_shown() -> None:
    """The shown form of the surface is compiled, with each normalisation its own."""
    lines = [
        "ABC順,1,1,1,名詞",
        "ﾎﾟﾝ酢,1,1,1,名詞",
        "か\u3099く,1,1,1,名詞",
        "New\u3000York,1,1,1,名詞",
        '"a,""b",1,1,1,名',
    ]
    unidic, none = (
        [entry.surface for entry in read("\n".join(lines), each)] for each in (Normalisation.UNIDIC, Normalisation.NONE)
    )
    assert unidic == ["ＡＢＣ順", "ポン酢", "がく", "Ｎｅｗ Ｙｏｒｋ", "ａ，＂ｂ"]
    assert none == ["ABC順", "ﾎﾟﾝ酢", "か\u3099く", "New York", 'a,"b']


def test_words_in_which_a_sentence_ends_are_found() -> None:
    """They reach MeCab whole only within brackets; a mark at the word's end does no harm."""
    words = ["モーニング娘。", "Hey!Say!JUMP", "「あ。い」", "塩。酢", "塩"]
    entries = read("\n".join(f"{word},1,1,1,名詞" for word in words), Normalisation.UNIDIC)
    assert [entry.line for entry in divided(entries)] == [2, 4]
    assert divided(entries[:1]) == []


def test_the_longest_line_that_mecab_reads_is_accepted(tmp_path: Path) -> None:
    """8,191 bytes, after which MeCab's indexer goes on reading; after one more it would stop there."""
    line = "塩,1,1,1," + "n" * (8191 - len("塩,1,1,1,".encode()))
    assert len(read(f"{line}\n{GOOD}")) == 2
    assert len(_DictionaryFile(index(f"{line}\n{GOOD}\n".encode(), tmp_path)).tokens) == 2
    with pytest.raises(ConfigurationError, match="line 1 is longer"):
        read(f"{line}n\n{GOOD}")


cell = st.text(st.sampled_from('塩酢,"" Aａﾎﾟ*-1é𠮟\ufeff'), max_size=6)
number = st.one_of(st.integers(0, 5980).map(str), st.sampled_from(["", "-1", " 7", "\t+7 ", '"12"', "1,", "x"]))
cost = st.one_of(st.integers(-40_000, 40_000).map(str), cell)
any_line = st.one_of(
    st.tuples(cell, number, number, cost, st.lists(cell, max_size=9).map(",".join)),
    st.tuples(cell, st.just(""), st.just("-1"), cost, st.just(" 名詞,普通名詞,一般,*,*,*,シオ")),
).map(",".join)


def _is_good(line: str) -> bool:
    try:
        entry = read(line)[0]
    except ConfigurationError:
        return False
    return not entry.has_automatic_ids or entry.features.startswith("名詞,普通名詞,")


@given(st.lists(any_line, min_size=1, max_size=80))
@settings(deadline=None, max_examples=40)
def test_what_is_accepted_is_what_mecabs_indexer_reads(lines: list[str]) -> None:
    """Of any lines, those accepted are found in MeCab's own compilation of them, with the ids, cost and features that
    were read here."""
    good = "".join(f"{line}\n" for line in lines if _is_good(line))
    if not good:
        return
    first: dict[tuple[str, int, int, int], str] = {}
    for entry in read(good):
        ids = (5139, 5139) if entry.has_automatic_ids else (entry.left, entry.right)
        first.setdefault((entry.surface, *ids, entry.cost), entry.features)
    with tempfile.TemporaryDirectory() as folder:
        file = _DictionaryFile(index(good.encode(), Path(folder)))
    surfaces, *numbers = zip(*first, strict=True)
    left, right, cost = (np.array(each, np.int64) for each in numbers)
    printed = PrintedTokens(pa.array(surfaces), np.zeros(len(first), np.bool_), left=left, right=right, cost=cost)
    found = file.find(printed, np.arange(len(first)))
    assert (found >= 0).all()
    assert [line.decode() for line in file.features(found)] == list(first.values())
