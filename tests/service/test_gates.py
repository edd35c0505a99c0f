"""The gates as plain values: figures in, verdicts out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kizami import json_form
from kizami.gates import USUAL, Figures, Gate, GateName, Limit, Limits, closed, judge, render_gates

SOUND = Figures(
    source_texts=10_000,
    part_texts=10_000,
    rows=9_990,
    tokens=200_000,
    unknown_tokens=4_000,
    quarantined=10,
    misplaced_rows=0,
    broken_rows=0,
)


def shut(figures: Figures, limits: Limits = USUAL, rows: int | None = 9_990, unknown: float | None = 0.02) -> set[str]:
    """Names of the gates that are closed."""
    return {gate.name for gate in closed(judge(figures, limits, earlier_rows=rows, earlier_unknown=unknown))}


def found(name: GateName, figures: Figures, limits: Limits = USUAL, rows: int | None = 9_990) -> Gate:
    """One gate's verdict."""
    gates = judge(figures, limits, earlier_rows=rows, earlier_unknown=0.02)
    return next(gate for gate in gates if gate.name == name)


def of_rows(rows: int) -> Figures:
    """Sound figures of a corpus of so many rows."""
    return replace(SOUND, source_texts=rows, part_texts=rows, rows=rows, quarantined=0)


def test_every_gate_is_told_in_order() -> None:
    """Each with its figure and its limit, open or not."""
    gates = judge(SOUND, USUAL, earlier_rows=10_000, earlier_unknown=0.015)
    assert [gate.name for gate in gates] == list(GateName)
    assert [(gate.value, gate.limit) for gate in gates] == [
        (0, 0),
        (0, 0),
        (0, 0),
        (0.001, 0.2),
        (0, 0.5),
        (0.02, 0.5),
        (pytest.approx(0.005), 0.02),
        (0.001, 0.05),
    ]
    assert closed(gates) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"source_texts": 10_001}, "reconciliation"),
        ({"source_texts": 9_999}, "reconciliation"),
        ({"part_texts": 9_999}, "reconciliation"),
        ({"rows": 9_989}, "reconciliation"),
        ({"rows": 9_991}, "reconciliation"),
        ({"forgotten": 1}, "reconciliation"),
        ({"misplaced_rows": 1}, "keys"),
        ({"broken_rows": 1}, "surfaces"),
    ],
    ids=str,
)
def test_one_text_too_few_or_too_many_closes(change: dict[str, int], name: str) -> None:
    """No limit of the configuration opens it, and it cannot be forced."""
    off = Limits(*[Limit(None)] * 5)
    assert shut(replace(SOUND, **change)) == shut(replace(SOUND, **change), off) == {name}
    assert not found(GateName(name), replace(SOUND, **change)).can_be_forced


def test_forgotten_texts_are_accounted_for() -> None:
    """They are neither rows nor in quarantine, and rightly so."""
    assert shut(replace(SOUND, rows=9_980, forgotten=10)) == set()


@pytest.mark.parametrize(
    ("earlier", "rows", "names"),
    [
        (10_000, 8_000, set()),
        (10_000, 7_999, {"rows_lost"}),
        (10_000, 15_000, set()),
        (10_000, 15_001, {"rows_gained"}),
        (100, 80, set()),
        (100, 79, {"rows_lost"}),
        (100, 10, {"rows_lost"}),
        (30, 10, set()),
        (30, 9, {"rows_lost"}),
        (20, 1, set()),
        (3, 1_003, set()),
        (3, 1_004, {"rows_gained"}),
        (1_000, 2_000, set()),
        (1_000, 2_001, {"rows_gained"}),
        (None, 1, set()),
        (0, 100_000, set()),
    ],
)
def test_the_number_of_rows_may_change_a_little(earlier: int | None, rows: int, names: set[str]) -> None:
    """By a fifth down or a half up, and in a small corpus by 20 rows down or 1,000 up; a first run has nothing to
    compare with."""
    assert shut(of_rows(rows), rows=earlier) == names


@pytest.mark.parametrize(
    ("unknown", "tokens", "earlier", "names"),
    [
        (100_000, 200_000, 0.5, set()),
        (100_001, 200_000, 0.5, {"unknown"}),
        (90_000, 200_000, None, set()),
        (90_000, 200_000, 0.44, set()),
        (8_001, 200_000, 0.02, {"unknown_rise"}),
        (8_000, 200_000, 0.02, set()),
        (50, 1_000, 0.0, set()),
        (51, 1_000, 0.0, {"unknown_rise"}),
        (120_000, 200_000, 0.02, {"unknown", "unknown_rise"}),
        (0, 200_000, 0.4, set()),
        (0, 0, 0.4, set()),
    ],
)
def test_unknown_tokens_may_be_many_but_not_suddenly(
    unknown: int, tokens: int, earlier: float | None, names: set[str]
) -> None:
    """Latin letters pass where they were yesterday; an encoding that was mistaken does not; fewer is no fault."""
    assert shut(replace(SOUND, tokens=tokens, unknown_tokens=unknown), unknown=earlier) == names


@pytest.mark.parametrize(
    ("texts", "held", "names"),
    [
        (10_000, 500, set()),
        (10_000, 501, {"quarantined"}),
        (1_000, 100, set()),
        (1_000, 101, {"quarantined"}),
        (60, 59, set()),
    ],
)
def test_quarantine_has_a_budget(texts: int, held: int, names: set[str]) -> None:
    """A twentieth; a hundred in a small corpus."""
    figures = replace(of_rows(texts - held), source_texts=texts, part_texts=texts, quarantined=held)
    assert shut(figures, rows=None) == names


def test_a_configured_limit_holds_exactly() -> None:
    """Small numbers are excused by the defaults alone."""
    limits = replace(USUAL, rows_lost=Limit(0.1), quarantined=Limit(0.0), unknown_rise=Limit(0.0))
    assert shut(of_rows(18), limits, rows=20) == set()
    assert shut(of_rows(17), limits, rows=20) == {"rows_lost"}
    assert shut(replace(SOUND, quarantined=1, rows=9_999), limits) == {"quarantined"}
    assert shut(replace(SOUND, unknown_tokens=4_001, quarantined=0, rows=10_000), limits) == {"unknown_rise"}


def test_a_gate_that_is_off_tells_its_figure() -> None:
    """It is open, whatever it measures."""
    gate = found(GateName.ROWS_LOST, of_rows(1), replace(USUAL, rows_lost=Limit(None)), rows=100)
    assert (gate.value, gate.limit, gate.open) == (0.99, None, True)
    assert str(gate) == "rows_lost 99 % (off)"


def test_gates_are_told_in_a_line() -> None:
    """Counts as counts, shares in per cent, what is closed marked."""
    gates = judge(replace(of_rows(7_000), broken_rows=2), USUAL, earlier_rows=10_000, earlier_unknown=None)
    assert render_gates(gates) == (
        "reconciliation 0 (limit 0), keys 0 (limit 0), surfaces 2 (limit 0, closed), rows_lost 30 % (limit 20 %, "
        "closed), rows_gained 0 % (limit 50 %), unknown 2 % (limit 50 %), unknown_rise - (nothing to compare with), "
        "quarantined 0 % (limit 5 %)"
    )


def test_a_gate_of_a_newer_version_is_read_and_not_forced() -> None:
    """A manifest may name gates that this version does not know."""
    body = b'{"name": "tomorrows", "value": 3, "limit": 2.5, "open": false, "unit": "m"}'
    gate = json_form.decode(Gate, body, "x")
    assert gate == Gate("tomorrows", 3.0, 2.5, open=False)
    assert not gate.can_be_forced
    for each in judge(SOUND, USUAL, earlier_rows=None, earlier_unknown=None):
        assert json_form.decode(Gate, json_form.encode(each), "x") == each
