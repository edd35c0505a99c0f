"""Submissions in a store, and runs that are made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kizami import json_form, layout
from kizami.analysis.user_dictionary import UserDictionary
from kizami.errors import ConfigurationError, DataError, RunExistsError
from kizami.ledger import Ledger, RunEntry, State
from kizami.renewal import renewal_of
from kizami.stores import open_store
from kizami.submission import Place, Submission, ended, read_submission, remove_submission, write_submission
from kizami_jobs.cli import main
from support.memory_store import MemoryStore

RUN = "20261123T050000.000000Z-0123456789abcdef"
TOML = 'store = "./store"\n[corpora.recipes]\nsource = "./recipes.jsonl"\nid = "id"\nfields = ["title"]\n'
SUBMISSION = Submission(RUN, "recipes", "2026-11-23", TOML, "/srv/kizami", "2026-11-23T05:00:00Z")
PLACE = Place("s3://bucket/tokens", "recipes", RUN)
ENTRY = RunEntry(
    RUN, "run", "recipes", "2026-11-23", State.STARTED, "lock", "2026-11-23T05:00:01Z", process="head:1:aaaa"
)


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore()


def test_a_submission_comes_back_as_it_was(store: MemoryStore) -> None:
    """With what it asks for and the words of its user dictionary, which the cluster's hosts need not have."""
    words = UserDictionary("/home/me/words.csv", "しょうが,,,4000,名詞\n".encode())
    renewal = renewal_of(False, None, ["r-1", "r-2"])
    asked = replace(SUBMISSION, verb="reprocess", renewal=renewal, wait_seconds=7200.0, words=words.location)
    write_submission(store, asked, words)
    assert read_submission(store, PLACE) == (asked, words)
    assert all(key.startswith("v1/recipes/submissions/") for key in store.objects)
    remove_submission(store, PLACE)
    assert store.objects == {}


def test_relative_paths_start_where_it_was_submitted(store: MemoryStore) -> None:
    """The configuration is that of the submitter's folder, wherever the job runs."""
    write_submission(store, SUBMISSION, None)
    config = read_submission(store, PLACE)[0].config()
    assert config.store == "/srv/kizami/store"
    assert config.corpus("recipes").source == "/srv/kizami/recipes.jsonl"


def test_a_configuration_of_another_version_is_named() -> None:
    """The cluster has an older Kizami, which does not know a key."""
    with pytest.raises(ConfigurationError, match=r"unknown key colour.*another version of kizami .*on the cluster"):
        replace(SUBMISSION, configuration='colour = "red"\n' + TOML).config()


def test_a_submission_that_is_gone_says_why(store: MemoryStore) -> None:
    """78, with what may have become of it."""
    with pytest.raises(ConfigurationError, match=r"is not there: a submission is removed when its run ends"):
        read_submission(store, PLACE)


@pytest.mark.parametrize(
    ("written", "instead", "message"),
    [
        ("2026-11-23", "tomorrow", r"makes no sense \(Invalid isoformat string: 'tomorrow'\)"),
        ('"verb": "run"', '"verb": "warm"', r"makes no sense \('warm' is no verb that can be submitted\)"),
        (RUN, "another", r"is of another run, another of recipes: submit it again"),
        ('"corpus": "recipes"', '"corpus": "novels"', r"is of another run, .* of novels: submit it again"),
    ],
)
def test_a_damaged_submission_is_no_bug_and_no_other_run(
    store: MemoryStore, written: str, instead: str, message: str
) -> None:
    """65: what a later version asks for is not taken for a run, nor a run made under another id a second time."""
    body = json_form.encode(SUBMISSION).decode().replace(written, instead, 1)
    store.put(layout.submission_key("recipes", RUN), body.encode())
    with pytest.raises(DataError, match=message):
        read_submission(store, PLACE)


@pytest.mark.parametrize("store_url", ["s3://bucket", "s3://bucket/v1/tokens", "/srv/tokens"])
def test_its_address_says_store_corpus_and_run(store_url: str) -> None:
    """What stands on the job's command line."""
    place = replace(PLACE, store=store_url)
    assert Place.parse(str(place)) == place


@pytest.mark.parametrize(
    "url", ["", "recipes", "s3://bucket/v1/recipes/runs/x.json", "/v1/recipes/submissions/x.json", f"{PLACE}/"]
)
def test_an_address_of_something_else_is_refused(url: str) -> None:
    """By name."""
    with pytest.raises(ConfigurationError, match="is no submission"):
        Place.parse(url)


def test_a_run_that_has_begun_is_not_made_again(store: MemoryStore) -> None:
    """While it goes on, or is dead without a word, 75; when it has ended, its entry tells how."""
    assert ended(store, PLACE) is None
    ledger = Ledger(store, "recipes")
    ledger.write(ENTRY)
    with pytest.raises(RunExistsError, match=r"is made once") as caught:
        ended(store, PLACE)
    assert caught.value.exit_code == 75
    done = replace(ENTRY, state=State.FAILED, exit_code=65)
    ledger.write(done)
    assert ended(store, PLACE) == done


def test_of_two_processes_with_one_run_only_the_first_writes_the_ledger(store: MemoryStore) -> None:
    """Even if they begin in the same second, and even if one has found no entry before."""
    Ledger(store, "recipes").write(ENTRY)
    with pytest.raises(RunExistsError):
        Ledger(store, "recipes").write(replace(ENTRY, process="head:2:bbbb"))
    assert Ledger(store, "recipes").find(RUN) == ENTRY


def test_submissions_in_a_folder_are_files(tmp_path: Path) -> None:
    """A local store holds them like S3."""
    store = open_store(str(tmp_path))
    write_submission(store, SUBMISSION, None)
    write_submission(store, SUBMISSION, None)  # an answer was lost, and it is sent again
    place = Place(str(tmp_path), "recipes", RUN)
    assert Path(str(place)).is_file()
    assert layout.submission_key("recipes", RUN) in str(place)
    assert read_submission(store, place) == (SUBMISSION, None)


def test_its_run_takes_no_other_options(capsys: pytest.CaptureFixture[str]) -> None:
    """They would be passed over."""
    assert main(["run", "recipes", "--submission", str(PLACE), "--full"]) == 78
    assert "give it alone" in capsys.readouterr().err
    assert main(["run", "novels", "--submission", str(PLACE)]) == 78
    assert "is of corpus recipes, not novels" in capsys.readouterr().err
