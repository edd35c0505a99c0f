"""The user dictionary: a corpus's own words, and their compiled form for MeCab."""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Final

import pyarrow as pa

from kizami.analysis.entries import ContextIds, Entry, divided, line_error, read_entries
from kizami.analysis.shown import Normalisation
from kizami.errors import ConfigurationError, UnavailableError
from kizami.sources.files import one_line, open_file_system

SIZE_LIMIT_BYTES: Final = 64 << 20
"""It travels to every worker; and MeCab's index holds eight million entries, which are never smaller than this."""

_INDEXER_SECONDS: Final = 300.0
"""A hundred thousand entries take less than one."""
# MeCab's indexer ends its process on an error and may crash it, so it has one of its own.
_INDEXER: Final = "import sys; sys.path[:] = sys.argv[2:]; import fugashi; fugashi.build_dictionary(sys.argv[1])"

# How it says that it found no context ids for some entry, but not for which.
_NO_IDS: Final = re.compile("cannot find (LEFT|RIGHT)-ID|rewrite failed")


@dataclass(frozen=True, slots=True)
class UserDictionary:
    """A MeCab CSV, as it was read; nothing is checked yet."""

    location: str
    """Where it was read, for messages."""
    content: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """File name, number of lines, which are its entries, and digest, for provenance."""
        lines = self.content.count(b"\n") + (not self.content.endswith(b"\n"))
        digest = hashlib.sha256(self.content).hexdigest()
        entries = "1 entry" if lines == 1 else f"{lines:,} entries"
        return f"{self.location.rpartition('/')[2]} ({entries}, SHA-256 {digest[:16]})"


def read_user_dictionary(location: str) -> UserDictionary:
    """Read a CSV from the local disk or, with ``s3://``, from S3.

    Raises ConfigurationError where there is no such file or it is too large, UnavailableError where it cannot be read
    now.
    """
    file_system, path = open_file_system(location)
    try:
        if not file_system.get_file_info(path).is_file:
            raise ConfigurationError(
                f"user dictionary {location}: there is no such file; correct user_dictionary in the configuration"
            )
        with file_system.open_input_stream(path, compression=None) as stream:
            content: bytes = stream.read(SIZE_LIMIT_BYTES + 1)
    except (OSError, pa.ArrowInvalid) as error:
        raise UnavailableError(f"user dictionary {location} cannot be read: {one_line(error)}") from error
    if len(content) > SIZE_LIMIT_BYTES:
        raise ConfigurationError(
            f"user dictionary {location} is larger than {SIZE_LIMIT_BYTES >> 20} MiB: is it a list of words?"
        )
    return UserDictionary(location, content)


def inspect(user: UserDictionary, folder: Path, normalisation: Normalisation) -> str:
    """Compile it as every worker will, and say what there is to say about it. Raises what ``compiled`` raises."""
    entries = read_entries(user.content, user.location, _context_ids(folder), normalisation)
    with _compiled(user, entries, folder):
        pass
    said = f"user dictionary {user.name}"
    if found := divided(entries):
        said += (
            f"; {len(found):,} of them, the first on line {found[0].line}, will be found only within brackets, because "
            "a sentence ends at a 。, ！ or ？ inside"
        )
    return said


@contextmanager
def compiled(user: UserDictionary, folder: Path, normalisation: Normalisation) -> Iterator[Path]:
    """The compiled form, for the dictionary in ``folder``: a file that MeCab can open, gone when the context ends.

    Who has opened it by then keeps it. Raises ConfigurationError naming the line that is at fault, UnavailableError
    where this host cannot compile it.
    """
    entries = read_entries(user.content, user.location, _context_ids(folder), normalisation)
    with _compiled(user, entries, folder) as path:
        yield path


@contextmanager
def _compiled(user: UserDictionary, entries: Sequence[Entry], folder: Path) -> Iterator[Path]:
    with TemporaryDirectory(prefix="kizami-words-", ignore_cleanup_errors=True) as work:
        path = Path(work) / "words.dic"
        failure = _index(folder, path, [entry.csv() for entry in entries])
        if failure is not None:
            if not _NO_IDS.search(failure):
                raise UnavailableError(
                    f"user dictionary {user.location} cannot be compiled on host {socket.gethostname()}: {failure}"
                )
            at_fault = _without_ids(folder, path, entries)
            part_of_speech = ",".join(at_fault.features.split(",")[:6])
            raise line_error(
                user.location,
                at_fault.line,
                f"gives no context ids, and the dictionary has none for {part_of_speech}: correct these features, "
                "write 17 with the goshu among them, or give both ids",
            )
        yield path


def _without_ids(folder: Path, path: Path, entries: Sequence[Entry]) -> Entry:
    """The first entry whose context ids the indexer does not find, by halving; there is one."""
    asking = [entry for entry in entries if entry.has_automatic_ids]
    lines = [entry.csv() for entry in asking]
    sound, unsound = 0, len(lines)
    while unsound - sound > 1:
        middle = (sound + unsound) // 2
        if _index(folder, path, lines[:middle]) is None:
            sound = middle
        else:
            unsound = middle
    return asking[sound]


def _index(folder: Path, path: Path, lines: Sequence[bytes]) -> str | None:
    """Compile lines into ``path``; what went wrong, if anything did."""
    source = path.with_suffix(".csv")
    arguments = f"mecab-dict-index -d {quote(str(folder.absolute()))} -u {path.name} -f utf8 -t utf8 {source.name}"
    try:
        source.write_bytes(b"\n".join(lines) + b"\n")
        path.unlink(missing_ok=True)
        process = subprocess.run(
            [sys.executable, "-c", _INDEXER, arguments, *sys.path],
            cwd=path.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_INDEXER_SECONDS,
            check=False,
        )
        header = path.read_bytes()[:16] if process.returncode == 0 else b""
    except (OSError, subprocess.TimeoutExpired) as error:
        return one_line(error)
    if process.returncode != 0:
        said = process.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"MeCab's indexer ended with {process.returncode}: {said}"
    # Magic number, version, type, number of entries: those of a file that is not whole do not fit.
    if len(header) < 16 or struct.unpack("<IIII", header)[3] != len(lines):
        return "MeCab's indexer left out entries"
    return None


def _context_ids(folder: Path) -> ContextIds:
    with (folder / "matrix.bin").open("rb") as file:
        # Its rows are the right ids of the word before, its columns the left ids of the word after.
        right, left = struct.unpack("<HH", file.read(4))
    return ContextIds(left, right)
