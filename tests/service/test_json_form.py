"""Records as JSON: the same bytes for the same record, and every fault of a damaged object named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kizami.errors import DataError
from kizami.json_form import decode, encode


class Taste(StrEnum):
    """A kind of field."""

    SWEET = "sweet"
    SALTY = "salty"


@dataclass(frozen=True, slots=True)
class Spice:
    """A record within a record."""

    name: str
    grams: float = 0.0


@dataclass(frozen=True, slots=True)
class Dish:
    """A record with every kind of field."""

    name: str
    servings: int
    vegan: bool
    taste: Taste
    note: str | None = None
    main: Spice | None = None
    spices: tuple[Spice, ...] = ()
    grams: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.servings < 0:
            raise ValueError("fewer than no servings")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SPICES = st.builds(Spice, name=TEXTS, grams=st.floats(allow_nan=False, allow_infinity=False))
DISHES = st.builds(
    Dish,
    name=TEXTS,
    servings=st.integers(0),
    vegan=st.booleans(),
    taste=st.sampled_from(Taste),
    note=st.none() | TEXTS,
    main=st.none() | SPICES,
    spices=st.lists(SPICES, max_size=3).map(tuple),
    grams=st.dictionaries(TEXTS, st.integers(), max_size=3),
)


@given(DISHES)
def test_a_record_comes_back(dish: Dish) -> None:
    """What was encoded is decoded to an equal record, and encoded again to the same bytes."""
    body = encode(dish)
    assert decode(Dish, body, "dish.json") == dish
    assert encode(decode(Dish, body, "dish.json")) == body


def test_the_text_is_readable() -> None:
    """UTF-8 as it is, a key a line, fields in order, a final newline."""
    body = encode(Spice("山椒", 1.5)).decode()
    assert body == '{\n "name": "山椒",\n "grams": 1.5\n}\n'


def test_nan_is_never_written() -> None:
    """JSON has none, and other readers would stumble."""
    with pytest.raises(ValueError, match="JSON"):
        encode(Spice("x", float("nan")))


def test_what_a_newer_version_adds_is_passed_over() -> None:
    """An older reader reads a newer object; a whole number does for a float, a missing default for a default."""
    body = b'{"name": "x", "grams": 2, "origin": {"country": "JP"}}'
    assert decode(Spice, body, "spice.json") == Spice("x", 2.0)
    assert decode(Spice, b'{"name": "x"}', "spice.json") == Spice("x")


GOOD = '"name": "x", "servings": 1, "vegan": true, "taste": "sweet"'
FAULTS = {
    "": "dish.json is no JSON",
    "[]": "dish.json is list, not Dish",
    "{}": "'name' of dish.json is missing",
    "{" + GOOD.replace('"x"', "null") + "}": "'name' of dish.json is NoneType, not str",
    "{" + GOOD.replace("1", "true") + "}": "'servings' of dish.json is bool, not int",
    "{" + GOOD.replace("1", "1.0") + "}": "'servings' of dish.json is float, not int",
    "{" + GOOD.replace("1", "-1") + "}": "dish.json makes no sense (fewer than no servings)",
    "{" + GOOD.replace("true", '"yes"') + "}": "'vegan' of dish.json is str, not bool",
    "{" + GOOD.replace("sweet", "sour") + "}": "'taste' of dish.json is str, not Taste",
    "{" + GOOD.replace('"sweet"', "[]") + "}": "'taste' of dish.json is list, not Taste",
    "{" + GOOD + ', "note": 3}': "'note' of dish.json is int, not str",
    "{" + GOOD + ', "main": {}}': "'main.name' of dish.json is missing",
    "{" + GOOD + ', "spices": {}}': "'spices' of dish.json is dict, not tuple",
    "{" + GOOD + ', "spices": [{"name": "y"}, 3]}': "'spices[1]' of dish.json is int, not Spice",
    "{" + GOOD + ', "grams": [1]}': "'grams' of dish.json is list, not Mapping",
    "{" + GOOD + ', "grams": {"salt": "1"}}': "'grams.salt' of dish.json is str, not int",
}


@pytest.mark.parametrize("body", FAULTS)
def test_a_damaged_object_is_named_with_the_field(body: str) -> None:
    """One line: which object, which field, what is wrong, what to do; exit code 65."""
    with pytest.raises(DataError) as caught:
        decode(Dish, body.encode(), "dish.json")
    assert str(caught.value).startswith(FAULTS[body])
    assert str(caught.value).endswith("restore the object from a backup or an earlier version")


def test_nesting_without_end_is_a_fault_of_the_data() -> None:
    """Not of the program, whose stack it would overflow."""
    with pytest.raises(DataError, match=r"^dish\.json is no JSON .*restore"):
        decode(Dish, b"[" * 200_000, "dish.json")


def test_bytes_that_are_no_utf8_are_no_json() -> None:
    """A truncated object is a fault of the data, not a bug."""
    with pytest.raises(DataError, match=r"^dish\.json is no JSON"):
        decode(Dish, '"料'.encode()[:-1], "dish.json")
