"""The shown form and the way back to the text's own code points."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kizami.analysis.shown import Normalisation, show
from support import slow_shown

SHOWN = [
    ("卵 2個", "卵 ２個", "卵 2個"),
    ("Salt & Pepper!", "Ｓａｌｔ ＆ Ｐｅｐｐｅｒ！", "Salt & Pepper!"),
    ("ｶﾞｽﾚﾝｼﾞで", "ガスレンジで", "ｶﾞｽﾚﾝｼﾞで"),
    ("か\u3099くせい", "がくせい", "か\u3099くせい"),
    ("ｶ\u3099ｽ", "ガス", "ｶ\u3099ｽ"),
    ("カﾞス", "ガス", "カﾞス"),
    ("ﾊﾟﾝ｡", "パン。", "ﾊﾟﾝ｡"),
    ("ｱﾞ", "ア゛", "ｱﾞ"),
    ("ﾞ", "゛", "ﾞ"),
    ("ア\u3099", "ア\u3099", "ア\u3099"),
    ("塩\u3000少々\u00a0\tを", "塩 少々  を", "塩 少々  を"),
    ("a\x00b\x1fc", "ａ ｂ\nｃ".replace("\n", " "), "a b c"),
    ("一\r\n二\u2028三\x85四\x0b五", "一\n\n二\n三\n四\n五", "一\n\n二\n三\n四\n五"),
    ("がぱ", "がぱ", "がぱ"),
    ("👨‍👩‍👧", "👨‍👩‍👧", "👨‍👩‍👧"),
    ("", "", ""),
]


@pytest.mark.parametrize(("text", "unidic", "none"), SHOWN)
def test_each_text_is_shown_the_way_the_dictionary_is_written(text: str, unidic: str, none: str) -> None:
    """Both normalisations show the text as the table says."""
    assert show([text], Normalisation.UNIDIC).shown == unidic
    assert show([text], Normalisation.NONE).shown == none


def test_a_composed_kana_leads_back_to_both_of_its_code_points() -> None:
    """Offsets after a composition count the mark that vanished."""
    form = show(["ｶﾞ1か\u3099"], Normalisation.UNIDIC)
    assert form.shown == "ガ１が"
    assert form.original(np.array([0, 1, 2, 3])).tolist() == [0, 2, 3, 5]


@given(st.text(), st.sampled_from(Normalisation))
def test_whatever_the_text_nothing_but_white_space_and_form_changes(text: str, normalisation: Normalisation) -> None:
    """White space and controls are shown as such, all else keeps its compatibility form, and offsets fit."""
    form = show([text], normalisation)
    offsets = form.original(np.arange(len(form.shown) + 1))
    assert offsets[0] == 0
    assert offsets[-1] == len(text)
    assert (np.diff(offsets) >= 1).all()
    for shown, start, end in zip(form.shown, offsets[:-1], offsets[1:], strict=True):
        original = text[start:end]
        if shown in " \n":
            assert original.isspace() or unicodedata.category(original) == "Cc"
        elif normalisation is Normalisation.NONE:
            assert shown == original
        else:
            assert not shown.isspace()
            assert (
                shown == original
                or unicodedata.normalize("NFKC", shown).strip() == unicodedata.normalize("NFKC", original).strip()
            )


@given(
    st.lists(
        st.text(
            st.one_of(st.sampled_from("卵ｶﾞﾊﾟか\u3099\u309aﾞ1a\n\x00\u3000🍳"), st.characters(exclude_categories=["Cs"]))
        )
    )
)
def test_a_batch_is_shown_as_its_texts_are_one_by_one(texts: list[str]) -> None:
    """The shown form and the way back are those of the obvious way, text for text."""
    for normalisation in Normalisation:
        batch = show(texts, normalisation)
        forms = [slow_shown.show(text, normalisation) for text in texts]
        assert batch.shown == "\n".join(form.shown for form in forms)
        back = batch.original(np.arange(len(batch.shown) + 1)).tolist()
        at = 0
        for text, form, start in zip(texts, forms, batch.bounds.tolist(), strict=False):
            count = len(form.shown) + 1
            own = range(len(text) + 1) if form.origin is None else form.origin.tolist()
            assert back[at : at + count] == [start + offset for offset in own]
            at += count
