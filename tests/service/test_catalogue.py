"""The catalogue as a plain value: what is shown after what was published, rolled back, retired, doomed."""

from __future__ import annotations

import pytest

from kizami.catalogue import Catalogue, State
from support.publishing import pointer


def catalogue(*published: tuple[str, str]) -> Catalogue:
    """After commits 1, 2, … of (snapshot, day of November)."""
    made = Catalogue()
    for number, (snapshot, day) in enumerate(published, 1):
        made = made.with_published(pointer(snapshot, date=f"2026-11-{day}", commit=number))
    return made


def shown(made: Catalogue) -> dict[str, str]:
    """Snapshot by day."""
    return {date[-2:]: each.snapshot for date, each in made.shown().items()}


def states(made: Catalogue) -> dict[str, State]:
    """State by snapshot."""
    return {each.snapshot: each.state for each in made.publications}


WEEK = (("a", "21"), ("b", "22"), ("b2", "22"), ("c", "23"))


def test_a_date_shows_its_newest_revision() -> None:
    """By the order of publication, whatever the names."""
    assert shown(catalogue(*WEEK)) == {"21": "a", "22": "b2", "23": "c"}


@pytest.mark.parametrize(("day", "nearest"), [("21", None), ("22", "a"), ("23", "b2"), ("30", "c")])
def test_the_nearest_earlier_date(day: str, nearest: str | None) -> None:
    """Of the dates that show something, whatever was published last."""
    found = catalogue(*WEEK, ("a2", "20")).with_retired(["2026-11-20"]).nearest_before(f"2026-11-{day}")
    assert (found.snapshot if found else None) == nearest


@pytest.mark.parametrize(
    ("published", "target", "expected"),
    [
        (WEEK, "c", {"21": "a", "22": "b2", "23": "c"}),
        (WEEK, "b2", {"21": "a", "22": "b2"}),
        (WEEK, "b", {"21": "a", "22": "b"}),
        (WEEK, "a", {"21": "a"}),
        # A date filled in afterwards was published after the target.
        ((("b", "22"), ("c", "23"), ("a", "21")), "c", {"22": "b", "23": "c"}),
        ((("a1", "21"), ("b", "22"), ("a2", "21")), "b", {"21": "a1", "22": "b"}),
        # And going back to it leaves no later date.
        ((("b", "22"), ("c", "23"), ("a", "21")), "a", {"21": "a"}),
    ],
)
def test_a_rollback_leaves_nothing_newer(
    published: tuple[tuple[str, str], ...], target: str, expected: dict[str, str]
) -> None:
    """What was published after the target, or of a later date, is withdrawn; dates go back to what they had before."""
    assert shown(catalogue(*published).with_rolled_back(target)) == expected


def test_copies_take_the_places_of_their_originals() -> None:
    """With their states and their order, which rollbacks go by; the originals are doomed."""
    made = catalogue(*WEEK).with_rolled_back("b2")
    copies = {name: pointer(f"{name}-copy", date=f"2026-11-{day}") for name, day in WEEK if name != "a"}
    after = made.with_copies(copies)
    assert shown(after) == {"21": "a", "22": "b2-copy"}
    assert states(after) == {
        "a": State.PUBLISHED,
        "b-copy": State.PUBLISHED,
        "b2-copy": State.PUBLISHED,
        "c-copy": State.WITHDRAWN,
    }
    assert [each.pointer.commit for each in after.publications] == [1, 2, 3, 4]
    assert after.doomed == ("b", "b2", "c")
    assert shown(after.with_rolled_back("b-copy")) == {"21": "a", "22": "b-copy"}


def test_a_second_rollback_goes_on_from_the_first() -> None:
    """Further back, forward again to one that was withdrawn; the others stay withdrawn until they are named."""
    made = catalogue(*WEEK).with_rolled_back("b2")
    assert states(made)["c"] is State.WITHDRAWN
    made = made.with_rolled_back("a")
    assert shown(made) == {"21": "a"}
    made = made.with_rolled_back("c")
    assert shown(made) == {"21": "a", "23": "c"}
    assert states(made) == {"a": State.PUBLISHED, "b": State.WITHDRAWN, "b2": State.WITHDRAWN, "c": State.PUBLISHED}


def test_what_a_rerun_made_is_newer_than_what_was_withdrawn() -> None:
    """The rerun of a withdrawn date is shown; going back to the withdrawn snapshot takes the rerun's place."""
    made = catalogue(*WEEK).with_rolled_back("b2")
    made = made.with_published(pointer("c2", date="2026-11-23", commit=6))
    assert shown(made)["23"] == "c2"
    assert shown(made.with_rolled_back("c")) == {"21": "a", "22": "b2", "23": "c"}


def test_a_retired_date_does_not_fall_back() -> None:
    """All its revisions go with it."""
    made = catalogue(*WEEK).with_retired(["2026-11-22"])
    assert shown(made) == {"21": "a", "23": "c"}
    assert states(made)["b"] is State.RETIRED
    assert shown(made.with_rolled_back("b")) == {"21": "a", "22": "b"}


def test_what_is_doomed_is_never_shown_again() -> None:
    """It leaves the publications at once, and its name is kept until nothing of it is left."""
    made = catalogue(*WEEK).with_doomed(["b", "orphan"])
    assert made.doomed == ("b", "orphan")
    assert made.find("b") is None
    assert made.knows("b")
    with pytest.raises(ValueError, match="no publication"):
        made.with_rolled_back("b")
    with pytest.raises(ValueError, match="being deleted"):
        made.with_published(pointer("orphan"))
    assert made.without(["orphan"]).doomed == ("b",)


def test_what_is_shown_cannot_be_doomed() -> None:
    """Readers come before order."""
    with pytest.raises(ValueError, match="b2 is shown"):
        catalogue(*WEEK).with_doomed(["b", "b2"])


def test_unknown_pointers_are_adopted_once() -> None:
    """In the order of their commits; what is known already stays as it is."""
    made = catalogue(*WEEK).with_rolled_back("a")
    found = [pointer("c", date="2026-11-23", commit=4), pointer("old", date="2026-11-01", commit=0)]
    adopted = made.with_adopted(found)
    assert [each.snapshot for each in adopted.publications] == ["old", "a", "b", "b2", "c"]
    assert adopted.with_adopted(found) == adopted
    assert shown(adopted) == {"01": "old", "21": "a"}
