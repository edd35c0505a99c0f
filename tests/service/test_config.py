"""The configuration: every key known, every fault named with its place."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from kizami.analysis.shown import Normalisation
from kizami.config import load_config
from kizami.errors import ConfigurationError
from kizami.gates import USUAL, Limit

CORPUS = """
[corpora.recipes]
source = "dumps/recipes.jsonl"
id = "recipe_id"
fields = ["title", "ingredients.name"]
"""


def write(folder: Path, text: str) -> Path:
    """A configuration file."""
    path = folder / "kizami.toml"
    path.write_text(text, "utf-8")
    return path


def test_defaults_are_the_contracts(tmp_path: Path) -> None:
    """What is left out is what DESIGN says: Tokyo, unidic, 32 MiB, a beat of 15 s and an expiry of 90 s; a hang is one
    after 100 s."""
    config = load_config(write(tmp_path, 'store = "store"' + CORPUS))
    corpus = config.corpus("recipes")
    assert config.timezone.key == "Asia/Tokyo"
    assert (config.lock.beat_seconds, config.lock.expiry_seconds) == (15, 90)
    assert (corpus.name, corpus.id_column, corpus.fields) == ("recipes", "recipe_id", ("title", "ingredients.name"))
    assert (corpus.normalisation, corpus.part_bytes) == (Normalisation.UNIDIC, 32 << 20)
    assert corpus.hang_after_seconds == 100
    assert (corpus.part_time_limit_seconds, corpus.time_limit_seconds, corpus.expected_seconds) == (None, None, None)
    assert corpus.retention_dates == 14
    assert corpus.user_dictionary is None
    assert corpus.gates == USUAL


def test_every_key_is_read(tmp_path: Path) -> None:
    """Nothing that is written there is passed over."""
    lock = '[lock]\nbeat = "0.5s"\nexpiry = "1.5 m"\n'
    extra = 'normalisation = "none"\npart_bytes = "8 MiB"\nhang_after = "5m"\nretention_dates = 90\n'
    extra += 'user_dictionary = "words/own.csv"\n'
    extra += 'part_time_limit = "30m"\ntime_limit = "6h"\nexpected_time = "90 s"\n'
    extra += '[corpora.recipes.gates]\nrows_lost = "12.5%"\nunknown = "off"\nquarantined = "0 %"\n'
    text = 'store = "s3://ml-shared/tokens/"\ntimezone = "Europe/Berlin"\n' + lock + CORPUS + extra
    config = load_config(write(tmp_path, text))
    assert (config.store, config.timezone.key) == ("s3://ml-shared/tokens", "Europe/Berlin")
    assert (config.lock.beat_seconds, config.lock.expiry_seconds) == (0.5, 90)
    assert config.corpus("recipes").normalisation is Normalisation.NONE
    assert config.corpus("recipes").part_bytes == 8 << 20
    assert config.corpus("recipes").hang_after_seconds == 300
    assert config.corpus("recipes").part_time_limit_seconds == 1800
    assert config.corpus("recipes").time_limit_seconds == 21600
    assert config.corpus("recipes").expected_seconds == 90
    assert config.corpus("recipes").retention_dates == 90
    assert config.corpus("recipes").user_dictionary == str(tmp_path / "words" / "own.csv")
    assert config.corpus("recipes").gates == replace(
        USUAL, rows_lost=Limit(0.125), unknown=Limit(None), quarantined=Limit(0)
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("store", "{folder}/store"),
        ("./store/", "{folder}/store/"),
        ("../料理/*.jsonl.gz", "{parent}/料理/*.jsonl.gz"),
        ("/srv/dumps/{date}.parquet", "/srv/dumps/{date}.parquet"),
        ("~/dumps/", "{home}/dumps/"),
        ("s3://dumps/recipes/{date}/*.parquet", "s3://dumps/recipes/{date}/*.parquet"),
    ],
)
def test_paths_start_from_the_files_folder(
    written: str, read: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the command is started; a final slash of a source stays, that of the store goes."""
    folder = tmp_path / "conf"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/nobody")
    text = f'store = "{written}"' + CORPUS.replace("dumps/recipes.jsonl", written)
    write(folder, text)
    config = load_config(Path("conf/kizami.toml"))
    for name, place in (("{folder}", folder), ("{parent}", tmp_path), ("{home}", "/home/nobody")):
        read = read.replace(name, str(place))
    assert config.corpus("recipes").source == read
    assert config.store == read.rstrip("/")


STORE = 'store = "store"\n'
FAULTS = {
    "unknown key": ('stroe = "x"' + CORPUS, "unknown key stroe (did you mean store?); known here: corpora, lock, "),
    "unknown key of a corpus": (
        STORE + CORPUS + 'normalization = "none"',
        "unknown key corpora.recipes.normalization (did you mean normalisation?)",
    ),
    "unknown key without a like": (
        STORE + CORPUS + "xyz = 1",
        "unknown key corpora.recipes.xyz; known here: expected_time, fields",
    ),
    "unknown key of the lock": (STORE + "[lock]\nbeats = 1" + CORPUS, "unknown key lock.beats (did you mean beat?)"),
    "no store": (CORPUS, "store is missing"),
    "empty store": ('store = ""' + CORPUS, "store is not a string with something in it"),
    "store is a number": ("store = 3" + CORPUS, "store is not a string"),
    "store with a NUL": ('store = "a\\u0000b"' + CORPUS, "is no path: it has a NUL in it"),
    "home of nobody": ('store = "~no-such-user/x"' + CORPUS, "home of a user that does not exist"),
    "no corpus": (STORE, "no corpus: add a table [corpora.NAME]"),
    "corpora is a list": (STORE + "corpora = []", "corpora is not a table"),
    "corpus is no table": (STORE + "[corpora]\nrecipes = 3", "corpora.recipes is not a table"),
    "name of a corpus": (STORE + CORPUS.replace("recipes]", "Recipes]"), "corpora.Recipes: a corpus is named by a-z"),
    "name with a dot": (STORE + CORPUS.replace("recipes]", '"a.b"]'), "corpora.a.b: a corpus is named by a-z"),
    "name too long": (STORE + CORPUS.replace("recipes]", f"{'a' * 65}]"), "64 at the most"),
    "no source": (STORE + CORPUS.replace("source", "# source"), "corpora.recipes.source is missing"),
    "source is a list": (STORE + CORPUS.replace('"dumps/recipes.jsonl"', "[]"), "corpora.recipes.source is not a str"),
    "no id": (STORE + CORPUS.replace("id =", "# id ="), "corpora.recipes.id is missing"),
    "no fields": (STORE + CORPUS.replace("fields", "# fields"), "corpora.recipes.fields is missing"),
    "fields is a string": (
        STORE + CORPUS.replace('["title", "ingredients.name"]', '"title"'),
        "corpora.recipes.fields is not a list",
    ),
    "fields is empty": (STORE + CORPUS.replace('"title", "ingredients.name"', ""), "fields is not a list of column"),
    "a field is a number": (STORE + CORPUS.replace('"title"', "1"), "fields is not a list of column names"),
    "a field is empty": (STORE + CORPUS.replace('"title"', '""'), "fields is not a list of column names"),
    "a field twice": (STORE + CORPUS.replace("ingredients.name", "title"), "fields names a column twice"),
    "normalisation": (STORE + CORPUS + 'normalisation = "nfkc"', "normalisation is 'nfkc'; it is one of unidic, none"),
    "normalisation is a flag": (STORE + CORPUS + "normalisation = false", "normalisation is not a string"),
    "user dictionary is a list": (STORE + CORPUS + "user_dictionary = []", "recipes.user_dictionary is not a string"),
    "user dictionary is empty": (STORE + CORPUS + 'user_dictionary = ""', "user_dictionary is not a string with some"),
    "user dictionary on the web": (
        STORE + CORPUS + 'user_dictionary = "https://words.example/own.csv"',
        "corpora.recipes.user_dictionary is a local path or s3://bucket/key, without credentials",
    ),
    "user dictionary with credentials": (
        STORE + CORPUS + 'user_dictionary = "s3://key:secret@bucket/own.csv"',
        "corpora.recipes.user_dictionary is a local path or s3://bucket/key, without credentials",
    ),
    "size without a unit": (STORE + CORPUS + "part_bytes = 32", "part_bytes is 32; write a size like 32MiB"),
    "size of another unit": (STORE + CORPUS + 'part_bytes = "32MB"', "part_bytes is '32MB'; write a size like 32MiB"),
    "size is a flag": (STORE + CORPUS + "part_bytes = true", "part_bytes is True; write a size"),
    "size is nothing": (STORE + CORPUS + 'part_bytes = "0B"', "part_bytes is not between 1B and 496MiB"),
    "size is too much": (STORE + CORPUS + 'part_bytes = "497MiB"', "part_bytes is not between 1B and 496MiB"),
    "limit without a unit": (STORE + CORPUS + "time_limit = 6", "corpora.recipes.time_limit is 6; write a duration"),
    "no time at all": (STORE + CORPUS + 'expected_time = "0s"', "corpora.recipes.expected_time is '0s'; write a dur"),
    "hang without a unit": (STORE + CORPUS + "hang_after = 100", "corpora.recipes.hang_after is 100; write a duration"),
    "dates as a string": (
        STORE + CORPUS + 'retention_dates = "14"',
        "retention_dates is '14'; write a number of dates",
    ),
    "no dates": (STORE + CORPUS + "retention_dates = 0", "corpora.recipes.retention_dates is 0; write a number"),
    "dates are a flag": (STORE + CORPUS + "retention_dates = true", "retention_dates is True; write a number of dates"),
    "unknown gate": (
        STORE + CORPUS + '[corpora.recipes.gates]\nrows = "5%"',
        "unknown key corpora.recipes.gates.rows (did you mean rows_lost?); known here: quarantined, rows_gained",
    ),
    "gates are no table": (STORE + CORPUS + 'gates = "off"', "corpora.recipes.gates is not a table"),
    "a gate as a number": (
        STORE + CORPUS + "[corpora.recipes.gates]\nunknown = 0.5",
        'corpora.recipes.gates.unknown is 0.5; write a share like "5%", or "off"',
    ),
    "a gate below zero": (STORE + CORPUS + '[corpora.recipes.gates]\nrows_lost = "-5%"', "rows_lost is '-5%'; write"),
    "lock is a string": (STORE + 'lock = "no"' + CORPUS, "lock is not a table"),
    "duration without a unit": (STORE + "[lock]\nbeat = 15" + CORPUS, "lock.beat is 15; write a duration like 90s"),
    "duration of nothing": (STORE + '[lock]\nbeat = "0s"' + CORPUS, "lock.beat is '0s'; write a duration"),
    "expiry too soon": (STORE + '[lock]\nexpiry = "59s"' + CORPUS, "lock.expiry is less than four times lock.beat"),
    "time zone": (STORE + 'timezone = "Asia/Tokio"' + CORPUS, "timezone 'Asia/Tokio' is not in the time zone database"),
    "time zone is a folder": (STORE + 'timezone = "Asia"' + CORPUS, "timezone 'Asia' is not in the time zone"),
    "time zone outside": (STORE + 'timezone = "../x"' + CORPUS, "timezone '../x' is not in the time zone"),
    "time zone is a number": (STORE + "timezone = 9" + CORPUS, "timezone is not a string"),
    "no TOML": ("store = ", "cannot be read: Invalid value"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_place(fault: str, tmp_path: Path) -> None:
    """The message starts with the file, names the key and what is expected, and the exit code is 78."""
    text, message = FAULTS[fault]
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 78


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file that is not there, a folder, and bytes that are no UTF-8."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: no such configuration file; name one with --config"):
        load_config(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*directory"):
        load_config(tmp_path)
    (tmp_path / "euc.toml").write_bytes("store = '料理'".encode("euc_jp"))
    with pytest.raises(ConfigurationError, match=r"euc\.toml: cannot be read: 'utf-8' codec"):
        load_config(tmp_path / "euc.toml")


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    """Some editors write one."""
    (tmp_path / "bom.toml").write_text(STORE + CORPUS, "utf-8-sig")
    assert list(load_config(tmp_path / "bom.toml").corpora) == ["recipes"]


def test_an_unknown_corpus_is_named_with_those_there_are(tmp_path: Path) -> None:
    """A slip of the finger gets a suggestion."""
    text = STORE + CORPUS + CORPUS.replace("recipes]", "novels]")
    config = load_config(write(tmp_path, text))
    message = "no corpus 'recipe' in the configuration (did you mean recipes?); there are: novels, recipes"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        config.corpus("recipe")
