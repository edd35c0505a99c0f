"""Where a text is cut before MeCab sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kizami.analysis.sentences import MAX_SENTENCE, cut_sentences
from kizami.analysis.shown import Normalisation, show
from support import corpora, slow_sentences
from support.reference import printed_tokens

CUT = [
    ("卵を割る。よく混ぜる。", ["卵を割る。", "よく混ぜる。"]),
    ("本当！？はい", ["本当！？", "はい"]),
    ("「行く。」と言った。次。", ["「行く。」と言った。", "次。"]),
    ("「行く。", ["「行く。"]),
    ("「行く。\n次。また", ["「行く。", "次。", "また"]),
    ("終わり。）続き。", ["終わり。）続き。"]),
    ("（注。（重ねて。）ここまで。）外。あと", ["（注。（重ねて。）ここまで。）外。", "あと"]),
    ("Yes! No?", ["Yes!", " No?"]),
    ("3.14です", ["3.14です"]),
    ("\n \n　".replace("　", " "), []),
    ("", []),
]


def spans(shown: str) -> list[tuple[int, int]]:
    """The sentences as pairs."""
    starts, ends = cut_sentences(shown)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


@pytest.mark.parametrize(("shown", "expected"), CUT)
def test_a_line_and_a_full_stop_outside_brackets_end_a_sentence(shown: str, expected: list[str]) -> None:
    """The table's texts are cut as it says."""
    assert [shown[start:end] for start, end in spans(shown)] == expected


def test_a_long_sentence_is_cut_at_its_last_pause() -> None:
    """The last 、 or space within the limit ends the piece."""
    shown = "あ" * 4000 + "、" + "い" * 4000
    assert spans(shown) == [(0, 4001), (4001, 8001)]


def test_a_long_sentence_without_pause_is_cut_where_the_kind_of_character_changes() -> None:
    """Without 、 or space, the last change of script ends the piece."""
    shown = "漢" * 4000 + "か" * 4000
    assert spans(shown) == [(0, 4000), (4000, 8000)]


def test_a_long_sentence_of_one_kind_is_cut_hard() -> None:
    """With nothing to hold on to, the limit itself is the cut."""
    assert spans("あ" * 10_000) == [(0, 4096), (4096, 8192), (8192, 10_000)]


@given(st.text(st.sampled_from("あ漢カa1。！？「」（）、 \n"), max_size=300).map(lambda piece: piece * 40))
def test_every_sentence_is_short_in_order_and_nothing_but_space_is_left_out(shown: str) -> None:
    """Sentences never overlap, never exceed the limit, and what they leave out is blank."""
    end = 0
    for start, stop in spans(shown):
        assert end <= start < stop <= start + MAX_SENTENCE
        assert not shown[end:start].strip()
        assert shown[start:stop].strip()
        end = stop
    assert not shown[end:].strip()


@given(
    st.text(
        st.one_of(st.sampled_from("あ漢カa1。！？!?「」（）『』、 \n"), st.characters(exclude_categories=["Cs"])),
        max_size=200,
    ),
    st.sampled_from([1, 60]),
)
def test_sentences_are_those_of_the_obvious_way(text: str, times: int) -> None:
    """Whatever the text, it is cut where going through it mark by mark cuts it."""
    shown = show([text * times], Normalisation.NONE).shown
    assert spans(shown) == slow_sentences.cut_sentences(shown)


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    [
        *corpora.RECIPES,
        "general_wikipedia.jsonl.gz",
        "short_jglue_captions.jsonl.gz",
        "gold_gsd_dev.jsonl.gz",
        "gold_gsd_train.jsonl.gz",
        "bulk_aozora.jsonl.zst",
    ],
)
def test_cutting_keeps_the_tokens_of_whole_lines(name: str, shared_corpora: None) -> None:
    """At least 99.9 % of the tokens of a whole line are the same, in offset and all columns, after cutting it.

    Of the 130 MB of bulk_aozora every fortieth document is taken.
    """
    whole = kept = 0
    step = 40 if name.startswith("bulk") else 1
    lines = []
    for index, document in enumerate(corpora.documents(name)):
        if index % step:
            continue
        for text in corpora.document_texts(document):
            shown = show([text], Normalisation.UNIDIC).shown
            lines += [line for line in shown.split("\n") if line.strip() and len(line) <= MAX_SENTENCE]
    for line in lines:
        tokens = printed_tokens(line, [(0, len(line))])
        whole += len(tokens)
        kept += len(tokens & printed_tokens(line, spans(line)))
    assert whole
    print(f"{name}: {kept / whole:.5%} of {whole:,} tokens")
    assert kept / whole >= 0.999
