"""Date marks: the business date in a source, in whatever form."""

from __future__ import annotations

import pytest

from kizami.date_marks import check_dates, has_date, with_date
from kizami.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://dumps/dt={date}/", "s3://dumps/dt=2026-01-07/"),
        ("s3://dumps/{date:%Y/%m/%d}/recipes-{date:%Y%m%d}.csv", "s3://dumps/2026/01/07/recipes-20260107.csv"),
        ("s3://dumps/{date:%Y年%m月}/", "s3://dumps/2026年01月/"),
        ("{day}/{dates}/{ date }/%Y", None),
        ("SELECT '{a,b}'::text[] WHERE x LIKE '%date%'", None),
    ],
)
def test_a_date_stands_where_its_mark_was(text: str, expected: str | None) -> None:
    """As it is, or in the form that the mark asks for; what is no mark stays."""
    check_dates(text, "source")
    assert has_date(text) == (expected is not None)
    assert with_date(text, "2026-01-07") == (expected or text)


@pytest.mark.parametrize("form", ["%H", "%Y-%j", "%", "%Y%m%-d", "%%", ""])
def test_a_form_of_no_date_is_a_mistake(form: str) -> None:
    """The message has the mark and one that is right."""
    with pytest.raises(ConfigurationError, match=r"corpora\.a\.source has .*\{date:%Y%m%d\}"):
        check_dates(f"s3://dumps/{{date:{form}}}/", "corpora.a.source")
