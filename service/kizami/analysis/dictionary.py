"""The dictionary MeCab analyses with, and the fingerprint of all that decides the tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from blake3 import blake3

from kizami.analysis.shown import Normalisation
from kizami.analysis.user_dictionary import UserDictionary
from kizami.errors import ConfigurationError

ANALYSIS_VERSION: Final = 1
"""Bumped by hand whenever a change of this package changes any token or feature; a golden digest guards it."""

_DECISIVE_FILES: Final = ("char.bin", "dicrc", "matrix.bin", "sys.dic", "unk.dic")


@dataclass(frozen=True, slots=True)
class Dictionary:
    """A compiled MeCab dictionary in UniDic's format, and perhaps words of a corpus's own."""

    folder: Path
    name: str
    """Name and version, for provenance; the user dictionary's too."""
    user: UserDictionary | None = None

    def with_words(self, user: UserDictionary | None) -> Dictionary:
        """The same dictionary with a corpus's own words, if it has any."""
        return self if user is None else replace(self, name=f"{self.name} + {user.name}", user=user)


@cache
def bundled_dictionary() -> Dictionary:
    """The dictionary of the unidic-lite package. Raises ConfigurationError where it is not installed."""
    try:
        import unidic_lite  # noqa: PLC0415  # reading snapshots needs no dictionary
    except ImportError as error:
        raise ConfigurationError("unidic-lite is not installed: pip install 'kizami[jobs]'") from error
    return Dictionary(Path(unidic_lite.DICDIR), f"unidic-lite {version('unidic-lite')}")


@cache
def fingerprint(dictionary: Dictionary, normalisation: Normalisation) -> str:
    """32 hex digits that change whenever the tokens of some text might.

    Hashed are ``ANALYSIS_VERSION``, MeCab (as fugashi brings it), the dictionary's bytes, the normalisation and, where
    there is one, the bytes of the user dictionary's CSV.
    Computed once a process: BLAKE3 takes 260 MB of dictionary in a quarter of the time of SHA-256.
    """
    digest = blake3(f"{ANALYSIS_VERSION}\0fugashi {version('fugashi')}\0{normalisation}\0".encode())
    for name in _DECISIVE_FILES:
        digest.update(f"{name}\0".encode())
        digest.update(blake3().update_mmap(dictionary.folder / name).digest())
    if dictionary.user is not None:
        digest.update(b"user dictionary\0")
        digest.update(blake3(dictionary.user.content).digest())
    return digest.hexdigest()[:32]
