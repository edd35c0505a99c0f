"""The configuration: one TOML file, read once, every key known."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from kizami.analysis.shown import Normalisation
from kizami.database import KEYS as DATABASE_KEYS
from kizami.database import Database, database_of, is_database
from kizami.date_marks import check_dates, has_date, with_date
from kizami.derivation import versions_of
from kizami.errors import ConfigurationError
from kizami.gates import USUAL, Limit, Limits

KIB, MIB, GIB = 1024, 1024**2, 1024**3
MAX_DOCUMENT_BYTES: Final = 16 * MIB
"""UTF-8 bytes of all texts of a document; a larger one is quarantined."""
MAX_PART_BYTES: Final = GIB // 2 - MAX_DOCUMENT_BYTES
"""The largest target. A part grows to twice its target before it splits, and never passes 1 GiB."""

_SIZES: Final = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_LONGEST_SECONDS: Final = 366 * 86400
"""Of a duration: what is longer than a year is a mistake, and in the end no system call takes it."""


@dataclass(frozen=True, slots=True)
class CorpusConfig:
    """One corpus: where its documents are, and how they are analysed."""

    name: str
    source: str
    """A file, glob or folder; ``s3://`` or a local path, absolute once read; or the URL of a database."""
    id_column: str | tuple[str, ...]
    """The column of the id, or those it is composed of."""
    fields: tuple[str, ...]
    """In the order that rows of a document take; ``list.key`` for one key of a list of structs."""
    database: Database | None = None
    """Where the source is one, all that is to be known of it."""
    ready: str | None = None
    """A file that is there when all of the source is: ``s3://`` or a local path, absolute once read."""
    of_some_date: bool = False
    """Whether the source has been made that of a business date: what is missing may still come."""
    user_dictionary: str | None = None
    """A MeCab CSV with words of the corpus's own; ``s3://`` or a local path of the host that starts the run, absolute
    once read."""
    normalisation: Normalisation = Normalisation.UNIDIC
    """Full width by default, because UniDic is written so."""
    retention_dates: int = 14
    """How many business dates keep their snapshot: two weeks to notice that something is wrong and go back."""
    gates: Limits = USUAL
    schemas: tuple[int, ...] = (1,)
    """Major versions of the schema that are published side by side, ascending. The first is among them: it carries the
    lock and the ledger, and the others are derived from its parts."""
    part_bytes: int = 32 * MIB
    """Target of UTF-8 text in a part: some 24 MB of Parquet per 10 MB of text, so one file is neither tiny nor slow to
    rewrite."""
    part_time_limit_seconds: float | None = None
    """How long one part may take before the run ends without publishing. None by default: `hang_after` sees to
    MeCab."""
    time_limit_seconds: float | None = None
    """How long a run may take before it ends without publishing. None by default: only the corpus's owner knows when
    a snapshot is too late to be of use."""
    expected_seconds: float | None = None
    """After how long a run says that it is late, and goes on."""
    hang_after_seconds: float = 100
    """How long MeCab may take over a batch of texts beyond what the slowest host would. A batch (1 MiB) takes about a
    second, so only a hang or a suspended host comes here; each text that hangs costs its part this time four times."""

    @property
    def dated(self) -> bool:
        """Whether the source is that of a business date, which stands for ``{date}`` in it."""
        return has_date(self.source) if self.database is None else self.database.dated

    @property
    def source_name(self) -> str:
        """The source for messages and the manifest."""
        return self.source if self.database is None else self.database.name

    def of_date(self, day: str) -> CorpusConfig:
        """This corpus with the source of a business date."""
        return replace(
            self,
            source=with_date(self.source, day),
            database=self.database and self.database.of_date(day),
            ready=self.ready and with_date(self.ready, day),
            of_some_date=self.dated,
        )


@dataclass(frozen=True, slots=True)
class LockConfig:
    """Timing of the lock on a corpus."""

    beat_seconds: float = 15
    expiry_seconds: float = 90
    """Six beats: a pause of a minute does not cost a run its lock, and a dead one is replaced within two."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a run needs to know, checked."""

    store: str
    corpora: Mapping[str, CorpusConfig]
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Tokyo"))
    """Where the business date changes. The corpora are Japanese, so is the default."""
    lock: LockConfig = LockConfig()
    textfile_directory: str | None = None
    """Where Prometheus's node_exporter looks for text files; absolute once read. None: no figures are written."""

    def corpus(self, name: str) -> CorpusConfig:
        """The corpus called ``name``. Raises ConfigurationError naming those there are."""
        try:
            return self.corpora[name]
        except KeyError:
            known = ", ".join(sorted(self.corpora)) or "none"
            raise ConfigurationError(
                f"no corpus {name!r} in the configuration{_suggest(name, self.corpora)}; there are: {known}"
            ) from None


def load_config(path: Path) -> Config:
    """Read and check a configuration file. Relative paths in it start from its own folder.

    Raises ConfigurationError, naming the file and the key.
    """
    try:
        return parse_config(read_config(path), path.resolve().parent)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def read_config(path: Path) -> str:
    """The text of a configuration file. Raises ConfigurationError without naming the file."""
    try:
        return path.read_text("utf-8-sig")  # some editors write a byte order mark
    except FileNotFoundError:
        raise ConfigurationError("no such configuration file; name one with --config FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot be read: {error}") from None


def parse_config(text: str, folder: Path) -> Config:
    """The configuration of a file's text; relative paths in it start from ``folder``. Raises ConfigurationError naming
    the key."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits, and lists without end
        raise ConfigurationError(f"cannot be read: {error}") from None
    return _config(content, folder)


def _config(content: Mapping[str, Any], folder: Path) -> Config:
    _refuse_unknown(content, {"store", "timezone", "lock", "metrics", "corpora"}, "")
    corpora = _get(content, "corpora", dict, "", default={})
    if not corpora:
        raise ConfigurationError("no corpus: add a table [corpora.NAME] with source, id and fields")
    return Config(
        store=_absolute(_get(content, "store", str, ""), folder).rstrip("/"),
        timezone=_timezone(_get(content, "timezone", str, "", default="Asia/Tokyo")),
        lock=_lock(_get(content, "lock", dict, "", default={})),
        textfile_directory=_metrics(_get(content, "metrics", dict, "", default={}), folder),
        corpora={name: _corpus(name, table, folder) for name, table in corpora.items()},
    )


def _corpus(name: str, table: object, folder: Path) -> CorpusConfig:
    where = f"corpora.{name}."
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        raise ConfigurationError(f"corpora.{name}: a corpus is named by a-z, 0-9, - and _, 64 at the most")
    if not isinstance(table, dict):
        raise ConfigurationError(f"corpora.{name} is not a table")
    _refuse_unknown(
        table,
        {
            "source",
            "id",
            "fields",
            "normalisation",
            "user_dictionary",
            "part_bytes",
            "hang_after",
            "part_time_limit",
            "time_limit",
            "expected_time",
            "retention_dates",
            "gates",
            "schemas",
            "ready",
            *DATABASE_KEYS,
        },
        where,
    )
    fields = _get(table, "fields", list, where)
    if not fields or not all(isinstance(item, str) and item for item in fields):
        raise ConfigurationError(f"{where}fields is not a list of column names")
    if len(set(fields)) < len(fields):
        raise ConfigurationError(f"{where}fields names a column twice")
    normalisation = _get(table, "normalisation", str, where, default="unidic")
    if normalisation not in set(Normalisation):
        raise ConfigurationError(f"{where}normalisation is {normalisation!r}; it is one of {', '.join(Normalisation)}")
    part_bytes = _size(table.get("part_bytes", "32MiB"), f"{where}part_bytes")
    if not 1 <= part_bytes <= MAX_PART_BYTES:
        raise ConfigurationError(f"{where}part_bytes is not between 1B and {MAX_PART_BYTES // MIB}MiB")
    retention_dates = table.get("retention_dates", 14)
    if type(retention_dates) is not int or retention_dates < 1:
        raise ConfigurationError(f"{where}retention_dates is {retention_dates!r}; write a number of dates, 1 or more")
    source = _get(table, "source", str, where)
    for key in ("source", "ready", "table", "query"):
        check_dates(str(table.get(key, "")), where + key)
    return CorpusConfig(
        name=name,
        source=_absolute(source, folder),
        id_column=_id(table, where),
        database=_database(source, table, where),
        ready=_absolute(_get(table, "ready", str, where), folder) if "ready" in table else None,
        fields=tuple(fields),
        user_dictionary=_user_dictionary(table, where, folder),
        normalisation=Normalisation(normalisation),
        part_bytes=part_bytes,
        hang_after_seconds=duration(table.get("hang_after", "100s"), f"{where}hang_after"),
        part_time_limit_seconds=_limit_of_time(table, "part_time_limit", where),
        time_limit_seconds=_limit_of_time(table, "time_limit", where),
        expected_seconds=_limit_of_time(table, "expected_time", where),
        retention_dates=retention_dates,
        schemas=_schemas(_get(table, "schemas", list, where, default=[1]), f"{where}schemas"),
        gates=_gates(_get(table, "gates", dict, where, default={}), f"{where}gates."),
    )


def _id(table: Mapping[str, Any], where: str) -> str | tuple[str, ...]:
    names = table.get("id")
    if not isinstance(names, list):
        column: str = _get(table, "id", str, where)
        return column
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise ConfigurationError(f"{where}id is no column name, nor a list of them, each once")
    return names[0] if len(names) == 1 else tuple(names)


def _database(source: str, table: Mapping[str, Any], where: str) -> Database | None:
    if is_database(source):
        timeout = duration(table.get("statement_timeout", "30m"), f"{where}statement_timeout")
        return database_of(source, table, where, timeout)
    if given := sorted(DATABASE_KEYS & table.keys()):
        raise ConfigurationError(f"{where}{given[0]} is for a database: source would be postgresql://host/database")
    return None


def _schemas(numbers: list[Any], where: str) -> tuple[int, ...]:
    if any(type(number) is not int for number in numbers) or len(set(numbers)) < len(numbers):
        raise ConfigurationError(
            f"{where} is {numbers!r}; write the numbers of schema versions, each once, like [1, 2]"
        )
    try:
        versions_of(numbers)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
    if 1 not in numbers:
        raise ConfigurationError(f"{where} is {numbers!r}; 1 has to be in it: the others are derived from it")
    return tuple(sorted(numbers))


def _user_dictionary(table: Mapping[str, Any], where: str, folder: Path) -> str | None:
    if "user_dictionary" not in table:
        return None
    location: str = _get(table, "user_dictionary", str, where)
    bucket = location.removeprefix("s3://").partition("/")[0]
    if "://" in location and (not location.startswith("s3://") or "@" in bucket):
        # Not repeated: what stands before an @ may be a secret.
        raise ConfigurationError(f"{where}user_dictionary is a local path or s3://bucket/key, without credentials")
    return _absolute(location, folder)


def _gates(table: Mapping[str, Any], where: str) -> Limits:
    _refuse_unknown(table, set(Limits.__dataclass_fields__), where)
    return replace(USUAL, **{name: _limit(value, where + name) for name, value in table.items()})


def _limit(value: object, where: str) -> Limit:
    if value == "off":
        return Limit(None)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", str(value))
    if not match:
        raise ConfigurationError(f'{where} is {value!r}; write a share like "5%", or "off"')
    return Limit(float(match[1]) / 100)


def _lock(table: Mapping[str, Any]) -> LockConfig:
    _refuse_unknown(table, {"beat", "expiry"}, "lock.")
    default = LockConfig()
    beat = duration(table.get("beat", f"{default.beat_seconds:g}s"), "lock.beat")
    expiry = duration(table.get("expiry", f"{default.expiry_seconds:g}s"), "lock.expiry")
    if expiry < 4 * beat:
        raise ConfigurationError(
            "lock.expiry is less than four times lock.beat: a slow store would cost runs their lock"
        )
    return LockConfig(beat, expiry)


def _metrics(table: Mapping[str, Any], folder: Path) -> str | None:
    _refuse_unknown(table, {"textfile_directory"}, "metrics.")
    if "textfile_directory" not in table:
        return None
    location: str = _get(table, "textfile_directory", str, "metrics.")
    if "://" in location:
        raise ConfigurationError("metrics.textfile_directory is a folder of the host that a run starts on, no URL")
    return _absolute(location, folder)


def _get(table: Mapping[str, Any], key: str, kind: type, where: str, default: object = None) -> Any:
    value = table.get(key, default)
    if value is None:
        raise ConfigurationError(f"{where}{key} is missing")
    if not isinstance(value, kind) or value == "":
        names: dict[type, str] = {str: "a string", list: "a list", dict: "a table"}
        raise ConfigurationError(f"{where}{key} is not {names[kind]}{' with something in it' if value == '' else ''}")
    return value


def _refuse_unknown(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigurationError(
                f"unknown key {where}{key}{_suggest(key, known)}; known here: {', '.join(sorted(known))}"
            )


def _suggest(word: str, known: Mapping[str, Any] | set[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _absolute(location: str, folder: Path) -> str:
    if "://" in location:
        return location
    if "\0" in location:
        raise ConfigurationError(f"{location!r} is no path: it has a NUL in it")
    try:
        path = os.path.normpath(folder / Path(location).expanduser())
    except RuntimeError:  # ~ of nobody
        raise ConfigurationError(f"{location!r} names the home of a user that does not exist") from None
    return path + "/" * location.endswith("/")


def _timezone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigurationError(f"timezone {name!r} is not in the time zone database (example: Asia/Tokyo)") from None


def _size(value: object, where: str) -> int:
    match = re.fullmatch(r"(\d{1,18})\s*(B|KiB|MiB|GiB)", str(value))
    if isinstance(value, bool) or not match:
        raise ConfigurationError(f"{where} is {value!r}; write a size like 32MiB (B, KiB, MiB or GiB)")
    return int(match[1]) * _SIZES[match[2]]


def _limit_of_time(table: Mapping[str, Any], key: str, where: str) -> float | None:
    return duration(table[key], where + key) if key in table else None


def duration(value: object, where: str) -> float:
    """The seconds of a duration like ``90s``, ``30m`` or ``2h``. Raises ConfigurationError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h)", str(value))
    if not match or float(match[1]) == 0:
        raise ConfigurationError(f"{where} is {value!r}; write a duration like 90s (s, m or h)")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST_SECONDS:
        raise ConfigurationError(f"{where} is longer than a year: write a duration like 90s (s, m or h)")
    return seconds
