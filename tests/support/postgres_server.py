"""A real PostgreSQL server on loopback, on a free port, with passwords, for as long as the tests last."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from support.s3_server import free_ports

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "30",
    "shared_buffers": "64MB",
    "lc_messages": "C",
    "log_statement": "none",
}


def find_programs() -> Path | None:
    """The folder of ``initdb`` and ``pg_ctl``; Debian keeps them out of the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    found = [*debian, *([Path(on_path).resolve()] if on_path else [])]
    return found[-1].parent if found else None


class PostgresServer:
    """A running server with a database, its owner, and a reader who may only read."""

    database = "kizami"
    owner, owner_password = "owner", "owner-secret-of-the-tests"
    reader, reader_password = "reader", r"reader's secret: \ of the tests"

    def __init__(self, pgpass: Path) -> None:
        """``pgpass`` gets the reader's password."""
        self._pgpass = pgpass
        self.port = 0

    def __enter__(self) -> PostgresServer:
        programs = find_programs()
        assert programs is not None
        self._programs = programs
        is_root = os.geteuid() == 0  # which the server refuses to be
        # Not below pytest's folder nor root's TMPDIR, either of which may be closed to the server's user.
        self._folder = Path(tempfile.mkdtemp(prefix="kizami-postgres-", dir="/tmp" if is_root else None))
        self._as_user: list[str] = []
        try:
            self._begin(as_nobody=is_root)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        in_file = self.reader_password.replace("\\", "\\\\").replace(":", "\\:")
        self._pgpass.touch(0o600)
        self._pgpass.write_text(f"127.0.0.1:{self.port}:*:{self.reader}:{in_file}\n")
        return self

    def _begin(self, *, as_nobody: bool) -> None:
        if as_nobody:
            user = pwd.getpwnam("nobody")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        password = self._folder / "password"
        password.write_text(self.owner_password)
        password.chmod(0o644)
        locale = ["--locale=C.UTF-8", "--encoding=UTF8"]
        self._call("initdb", "-U", self.owner, "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", *locale)
        password.unlink()
        [self.port] = free_ports(1)
        self.start()
        self.execute(f"CREATE DATABASE {self.database}", database="postgres")
        escaped = self.reader_password.replace("'", "''")
        self.execute(f"CREATE ROLE {self.reader} LOGIN PASSWORD '{escaped}'")
        self.execute(f"GRANT pg_read_all_data TO {self.reader}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("immediate", check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """What stands in a configuration: no password."""
        return f"postgresql://{self.reader}@127.0.0.1:{self.port}/{self.database}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = " ".join(f"-c {name}='{value}'" for name, value in _SETTINGS.items())
        self._call(
            "pg_ctl", "start", "-w", "-t", "120", "-l", str(self._folder / "log"), "-o", f"-p {self.port} {settings}"
        )

    def stop(self, mode: str = "fast", *, check: bool = True) -> None:
        """Stop it: ``fast`` ends all sessions, ``immediate`` is a crash."""
        self._call("pg_ctl", "stop", "-w", "-t", "120", "-m", mode, check=check)

    def _call(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [*self._as_user, str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        done = subprocess.run(
            command,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if program == "initdb" else subprocess.DEVNULL,
            check=False,
            text=True,
        )
        if check and done.returncode:
            log = self._folder / "log"
            raise RuntimeError(f"{program} failed: {done.stdout} {log.read_text()[-2000:] if log.exists() else ''}")

    @contextmanager
    def connected(self, database: str | None = None) -> Iterator[Any]:
        """A connection of the owner's that commits each statement."""
        uri = f"postgresql://{self.owner}:{self.owner_password}@127.0.0.1:{self.port}/{database or self.database}"
        connection = dbapi.connect(uri, autocommit=True)
        try:
            yield connection
        finally:
            connection.close()

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Execute statements as the owner."""
        with self.connected(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def query(self, sql: str) -> list[Any]:
        """The first column of an answer, as the owner."""
        with self.connected() as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetch_arrow_table()[0].to_pylist())

    def ingest(self, name: str, table: pa.Table) -> None:
        """Make a table of the columns of an Arrow table."""
        with self.connected() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest(name, table, mode="create")

    def sessions(self, more: Sequence[str] = ()) -> list[int]:
        """Process ids of the reader's sessions."""
        where = "".join(f" AND {each}" for each in more)
        return self.query(f"SELECT pid FROM pg_stat_activity WHERE usename = '{self.reader}'{where}")
