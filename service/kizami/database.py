"""A database as a source: what the configuration says of it. No password is ever in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from kizami.date_marks import has_date, with_date
from kizami.errors import ConfigurationError

SCHEMES: Final = ("postgresql://", "postgres://")
KEYS: Final = frozenset({"table", "query", "connections", "statement_timeout"})
"""Keys of a corpus's table that only a database has."""
_SECRETS: Final = frozenset({"password", "sslpassword", "passfile", "oauth_client_secret"})
_PART: Final = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL database, and what to read of it."""

    url: str
    """As libpq takes it, without any secret; what it leaves out comes from the environment (``PGHOST`` …)."""
    table: str | None = None
    """Name of a table or view, each part of it spelt exactly; quotes where a part has a dot in it."""
    query: str | None = None
    """One SELECT. One of the two is there."""
    connections: int = 4
    """At once, at the most: one keeps the view, the others read. Few, as the database serves a site."""
    statement_timeout_seconds: float = 30 * 60
    """For one statement, which reads a range of some 32 MiB, or the whole source where ranges would cost more."""

    def of_date(self, day: str) -> Database:
        """This with a business date in the place of ``{date}``."""
        return replace(
            self,
            url=with_date(self.url, day),
            table=self.table and with_date(self.table, day),
            query=self.query and with_date(self.query, day),
        )

    @property
    def dated(self) -> bool:
        """Whether there is a ``{date}`` in it."""
        return any(has_date(each) for each in (self.url, self.table, self.query) if each)

    @property
    def name(self) -> str:
        """For messages and the manifest: the database, and what is read of it."""
        what = f"table {self.table}" if self.table is not None else "a query"
        return f"{self.url.partition('?')[0].rstrip('/')}, {what}"


def is_database(source: str) -> bool:
    """Whether a source is a database's URL."""
    return source.lower().startswith(SCHEMES)


def database_of(source: str, table: Mapping[str, Any], where: str, statement_timeout_seconds: float) -> Database:
    """Read the keys of a corpus's table. Raises ConfigurationError, which never repeats a URL that has a secret."""
    _check_url(source, f"{where}source")
    given = [key for key in ("table", "query") if key in table]
    if len(given) != 1:
        raise ConfigurationError(f"{where}source is a database: give either table or query, not {len(given)} of them")
    what = table[given[0]]
    if not isinstance(what, str) or not what.strip(" \n\t;"):
        raise ConfigurationError(f"{where}{given[0]} is not a string with something in it")
    if "\0" in what:
        raise ConfigurationError(f"{where}{given[0]} has a NUL in it")
    connections = table.get("connections", 4)
    if type(connections) is not int or connections < 2:
        raise ConfigurationError(
            f"{where}connections is {connections!r}; write a number, 2 or more: one keeps the view, the others read"
        )
    if given[0] == "table":
        try:
            identifiers(what)
        except ValueError:
            raise ConfigurationError(f"{where}table is {what!r}; write it as schema.table") from None
    return Database(
        url=source,
        table=what if given[0] == "table" else None,
        query=what if given[0] == "query" else None,
        connections=connections,
        statement_timeout_seconds=statement_timeout_seconds,
    )


def identifiers(table: str) -> tuple[str, ...]:
    """The parts of a table's name. Raises ValueError for what is none."""
    parts = []
    end = 0
    for match in _PART.finditer(table):
        if match.start() != end:
            break
        quoted, plain = match.groups()
        parts.append(quoted.replace('""', '"') if quoted else plain)
        end = match.end() + 1
        if table[match.end() : end] not in {".", ""}:
            break
    if end != len(table) + 1 or len(parts) > 3:
        raise ValueError(table)
    return tuple(parts)


def _check_url(url: str, where: str) -> None:
    refusal = ConfigurationError(
        f"{where} has a password in it, or another secret: take it out; the environment (PGUSER, PGPASSWORD), "
        "PGPASSFILE or ~/.pgpass has it on every host that reads"
    )
    try:
        parts = urlsplit(url)
        # Not parts.query: libpq knows no fragments, and takes what stands behind a # for more of the same.
        parameters = {key.lower() for key, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)}
    except ValueError:
        # Not told what is wrong: the message would repeat it.
        raise ConfigurationError(f"{where} is no URL like postgresql://host:5432/database") from None
    user, at, _ = parts.netloc.rpartition("@")
    beyond = url[len(parts.scheme) + len("://") + len(parts.netloc) :]
    # An @ further on stands there if a password has a / or ? in it.
    if (at and (":" in user or "%3a" in user.lower())) or parameters & _SECRETS or "@" in beyond:
        raise refusal
