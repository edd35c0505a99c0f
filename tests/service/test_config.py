"""The configuration: every key known, every fault named with its place."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from kizami.analysis.shown import Normalisation
from kizami.config import load_config
from kizami.database import identifiers
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
    assert config.textfile_directory is None


def test_every_key_is_read(tmp_path: Path) -> None:
    """Nothing that is written there is passed over."""
    lock = '[lock]\nbeat = "0.5s"\nexpiry = "1.5 m"\n'
    extra = 'normalisation = "none"\npart_bytes = "8 MiB"\nhang_after = "5m"\nretention_dates = 90\n'
    extra += 'user_dictionary = "words/own.csv"\n'
    extra += 'part_time_limit = "30m"\ntime_limit = "6h"\nexpected_time = "90 s"\n'
    extra += '[corpora.recipes.gates]\nrows_lost = "12.5%"\nunknown = "off"\nquarantined = "0 %"\n'
    lock += '[metrics]\ntextfile_directory = "textfiles"\n'
    text = 'store = "s3://ml-shared/tokens/"\ntimezone = "Europe/Berlin"\n' + lock + CORPUS + extra
    config = load_config(write(tmp_path, text))
    assert (config.store, config.timezone.key) == ("s3://ml-shared/tokens", "Europe/Berlin")
    assert (config.lock.beat_seconds, config.lock.expiry_seconds) == (0.5, 90)
    assert config.textfile_directory == str(tmp_path / "textfiles")
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
    "form of no date": (
        STORE + CORPUS.replace("dumps/recipes.jsonl", "dumps/{date:%H}/"),
        "corpora.recipes.source has '{date:%H}' in it; a date is written with %Y, %m and %d",
    ),
    "a number of thousands of digits": (STORE + CORPUS + f"retention_dates = {'9' * 5000}", "cannot be read: "),
    "lists without end": (STORE + CORPUS + f"x = {'[' * 5000}", "cannot be read: "),
    "a size beyond all sizes": (STORE + CORPUS + f'part_bytes = "{"9" * 5000}B"', "write a size like 32MiB"),
    "a duration beyond all durations": (
        STORE + CORPUS + f'time_limit = "{"9" * 400}h"',
        "corpora.recipes.time_limit is longer than a year",
    ),
    "a beat that no clock can wait for": (
        STORE + '[lock]\nbeat = "9999999h"\nexpiry = "99999999h"\n' + CORPUS,
        "lock.beat is longer than a year",
    ),
    "unknown key": ('stroe = "x"' + CORPUS, "unknown key stroe (did you mean store?); known here: corpora, lock, "),
    "unknown key of a corpus": (
        STORE + CORPUS + 'normalization = "none"',
        "unknown key corpora.recipes.normalization (did you mean normalisation?)",
    ),
    "unknown key without a like": (
        STORE + CORPUS + "xyz = 1",
        "unknown key corpora.recipes.xyz; known here: connections, expected_time, fields",
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
    "unknown key of the metrics": (
        STORE + '[metrics]\ntextfile = "x"' + CORPUS,
        "unknown key metrics.textfile (did you mean textfile_directory?)",
    ),
    "metrics at a URL": (
        STORE + '[metrics]\ntextfile_directory = "s3://a/b"' + CORPUS,
        "metrics.textfile_directory is a folder of the host",
    ),
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


DATABASE = """
[corpora.recipes]
source = "postgresql://kizami@db.internal/kitchen?sslmode=require"
id = ["site", "recipe_id"]
fields = ["title"]
"""


def test_a_database_is_read(tmp_path: Path) -> None:
    """Its keys and their defaults; a date goes into table, query and marker."""
    text = 'store = "s"' + DATABASE + 'table = "menu.recipes_{date}"\n'
    corpus = load_config(write(tmp_path, text)).corpus("recipes")
    assert corpus.id_column == ("site", "recipe_id")
    assert corpus.database is not None
    assert (corpus.database.connections, corpus.database.statement_timeout_seconds) == (4, 1800)
    assert corpus.dated
    assert corpus.of_date("2026-11-27").source_name == (
        "postgresql://kizami@db.internal/kitchen, table menu.recipes_2026-11-27"
    )
    text = 'store = "s"' + DATABASE + 'query = "SELECT * FROM r WHERE d = \'{date}\'"\nready = "done/{date}"\n'
    text += 'connections = 2\nstatement_timeout = "90s"\n'
    dated = load_config(write(tmp_path, text)).corpus("recipes").of_date("2026-11-27")
    assert dated.database is not None
    assert dated.database.query == "SELECT * FROM r WHERE d = '2026-11-27'"
    assert (dated.database.connections, dated.database.statement_timeout_seconds) == (2, 90)
    assert dated.ready == str(tmp_path / "done" / "2026-11-27")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", "give either table or query, not 0"),
        ('table = "r"\nquery = "SELECT 1"', "give either table or query, not 2"),
        ('table = "a..b"', "write it as schema.table"),
        ("table = 'a\"b'", "write it as schema.table"),
        ('query = " ; "', "query is not a string with something in it"),
        ('table = "r"\nconnections = 1', "2 or more"),
        ('table = "r"\nconnections = true', "2 or more"),
        ('table = "r"\nstatement_timeout = "fast"', "write a duration"),
    ],
)
def test_what_is_wrong_with_a_database_is_said(tmp_path: Path, more: str, message: str) -> None:
    """The key, and what it wants."""
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        load_config(write(tmp_path, 'store = "s"' + DATABASE + more))


@pytest.mark.parametrize("more", ['table = "r"', 'query = "SELECT 1"', "connections = 3", 'statement_timeout = "9s"'])
def test_keys_of_a_database_are_for_one(tmp_path: Path, more: str) -> None:
    """Beside files they would be passed over in silence."""
    with pytest.raises(ConfigurationError, match="is for a database"):
        load_config(write(tmp_path, 'store = "s"' + CORPUS + more))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a"', "a"),
        ('["a"]', "a"),
        ('["a", "b"]', ("a", "b")),
        ("[]", None),
        ('["a", "a"]', None),
        ("[1]", None),
        ("1", None),
    ],
)
def test_an_id_is_a_column_or_several(tmp_path: Path, value: str, expected: object) -> None:
    """A list of one is the one: the same id, the same digest."""
    text = 'store = "s"' + CORPUS.replace('"recipe_id"', value)
    if expected is None:
        with pytest.raises(ConfigurationError, match=r"corpora\.recipes\.id is"):
            load_config(write(tmp_path, text))
    else:
        assert load_config(write(tmp_path, text)).corpus("recipes").id_column == expected


def test_the_parts_of_a_tables_name_are_told() -> None:
    """Quotes are for a dot or a quote in a part."""
    assert identifiers("recipes") == ("recipes",)
    assert identifiers("menu.Recipes") == ("menu", "Recipes")
    assert identifiers('menu."a.b""c".料理') == ("menu", 'a.b"c', "料理")
