"""How good the tokens are: F1 against UD Japanese GSD, whose annotation is UniDic short-unit words."""

from __future__ import annotations

import pytest

from kizami.analysis.analyser import bundled_analyser
from kizami.analysis.shown import Normalisation
from support import corpora

Token = tuple[int, int] | tuple[int, int, str]


def f1(gold: list[set[Token]], found: list[set[Token]]) -> float:
    """Harmonic mean of precision and recall over all sentences."""
    right = sum(len(one & other) for one, other in zip(gold, found, strict=True))
    return 2 * right / (sum(map(len, gold)) + sum(map(len, found)))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("normalisation", "least_segmentation", "least_with_pos"),
    [(Normalisation.UNIDIC, 0.986, 0.967), (Normalisation.NONE, 0.985, 0.960)],
)
def test_tokens_agree_with_the_gold_annotation(
    normalisation: Normalisation, least_segmentation: float, least_with_pos: float, shared_corpora: None
) -> None:
    """Segmentation and segmentation with part of speech reach the F1 measured when the project began.

    Offsets count the characters that are not spaces, because gold tokens do not say where spaces stand.
    """
    gold_spans, gold_pos, found_spans, found_pos = ([], [], [], [])  # type: ignore[var-annotated]
    sentences = list(corpora.documents("gold_gsd_dev.jsonl.gz"))
    tokens = bundled_analyser(normalisation).analyse([sentence["text"] for sentence in sentences]).tokens
    for sentence, row in zip(sentences, tokens.to_pylist(), strict=True):
        gold = [(token["surface"], token["pos"]) for token in sentence["tokens"]]
        levels = zip(row["pos1"], row["pos2"], row["pos3"], row["pos4"], strict=True)
        found = list(zip(row["surface"], ("-".join(filter(None, pos)) for pos in levels), strict=True))
        for pairs, spans, with_pos in ((gold, gold_spans, gold_pos), (found, found_spans, found_pos)):
            ends, end = [], 0
            for surface, _ in pairs:
                ends.append((end, end := end + len(surface)))
            spans.append(set(ends))
            with_pos.append({(*span, pos) for span, (_, pos) in zip(ends, pairs, strict=True)})
    segmentation, with_part_of_speech = f1(gold_spans, found_spans), f1(gold_pos, found_pos)
    print(f"{normalisation}: segmentation F1 {segmentation:.4f}, with part of speech {with_part_of_speech:.4f}")
    assert segmentation >= least_segmentation
    assert with_part_of_speech >= least_with_pos
