"""What was read of a source, checked against what was asked for."""

from __future__ import annotations

import pytest

from kizami.config import CorpusConfig
from kizami.errors import DataError
from kizami.renewal import renewal_of
from kizami.suppression import NOBODY
from kizami_jobs.intake import check_ids
from kizami_jobs.reading import Corpus


@pytest.mark.parametrize(
    ("id_column", "told"),
    [("id", False), (("site", "id"), True), (("country", "site", "id"), False)],
)
def test_an_id_of_another_form_is_told_how_it_is_written(id_column: str | tuple[str, ...], told: bool) -> None:
    """A slash in a value is easily forgotten; where the form is right, the document is not there."""
    corpus = CorpusConfig("recipes", "a.jsonl", id_column, ("title",))
    with pytest.raises(DataError, match="has no document 'a/b/5'") as raised:
        check_ids(renewal_of(everything=False, field=None, ids=["a/b/5"]), Corpus(), corpus, NOBODY)
    assert ("an id is site/id, where / in a value is written %2F" in str(raised.value)) == told
