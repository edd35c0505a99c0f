"""Submitting, before there is a job: what must not be left in the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from kizami.config import load_config
from kizami.errors import ConfigurationError
from kizami_jobs.request import RunRequest, parameters
from kizami_jobs.submit_verb import _refuse_credentials

SECRET = "s3://AKIAKEY:hunter2@dumps/{date}/"


def _written(folder: Path, corpus: str) -> Path:
    path = folder / "kizami.toml"
    path.write_text(f'store = "./store"\n[corpora.recipes]\nid = "id"\nfields = ["title"]\n{corpus}\n', "utf-8")
    return path


@pytest.mark.parametrize(
    "corpus", [f'source = "{SECRET}"', f'source = "s3://dumps/{{date}}/"\nready = "{SECRET}_SUCCESS"']
)
def test_credentials_in_a_url_are_refused_and_not_repeated(corpus: str, tmp_path: Path) -> None:
    """The source's and that of the file it waits for: the whole configuration is left in the store, and what a run is
    made with is logged."""
    config = load_config(_written(tmp_path, corpus))
    recipes = config.corpus("recipes")
    with pytest.raises(ConfigurationError, match="recipes holds credentials") as refused:
        _refuse_credentials(recipes)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in str(parameters(config, recipes, RunRequest("recipes"), None))


@pytest.mark.parametrize(
    "corpus",
    [
        'source = "postgresql://reader@replica.internal/kitchen"\ntable = "recipes"',
        'source = "s3://dumps/{date}/"\nready = "s3://dumps/{date}/_SUCCESS"',
    ],
)
def test_what_holds_no_secret_is_submitted(corpus: str, tmp_path: Path) -> None:
    """The name of a database's user is none."""
    _refuse_credentials(load_config(_written(tmp_path, corpus)).corpus("recipes"))
