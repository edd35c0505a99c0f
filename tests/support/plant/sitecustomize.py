"""Failures planted in MeCab: with this folder on PYTHONPATH, sentences that hold certain words end their process.

Python imports a module of this name when it starts, in every process of a run. It stands alone: a worker need not see
the other tests.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

CRASH, HANG, RAISE, KILL_WORKER = "墜落", "無限", "例外", "道連れ"


class _Planter(MetaPathFinder):
    """Puts another Tagger into fugashi as soon as it is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "fugashi":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_plant(module: Any) -> None:
            load(module)
            module.GenericTagger = _planted(module.GenericTagger)

        spec.loader.exec_module = load_and_plant  # type: ignore[method-assign]
        return spec


def _planted(tagger: Any) -> Any:
    class PlantedTagger(tagger):  # type: ignore[misc]  # fugashi has no types
        def parse(self, text: str) -> str:
            if CRASH in text:
                os.kill(os.getpid(), signal.SIGSEGV)
            if HANG in text:
                # For ages, in C, holding the interpreter's lock: no other thread of the process has its turn.
                re.match(r"(a|a)*b", "a" * 64)
            if RAISE in text:
                raise RuntimeError(text)
            if KILL_WORKER in text:
                # Only the worker itself has Ray; a child of it has not.
                os.kill(os.getpid() if "ray" in sys.modules else os.getppid(), signal.SIGKILL)
            parsed: str = super().parse(text)
            return parsed

    return PlantedTagger


if __name__ == "sitecustomize":  # and not where a test imports the words
    sys.meta_path.insert(0, _Planter())
