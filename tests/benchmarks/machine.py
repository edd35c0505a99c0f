"""The machine and the versions that figures were measured with; nothing that tells whose machine it is."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import psutil

_PACKAGES: Final = ("kizami", "fugashi", "unidic-lite", "pyarrow", "pandas", "ray")


def machine() -> dict[str, str | int]:
    """CPU, cores, memory and kernel."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30)),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
    }


def versions() -> dict[str, str]:
    """Python, MeCab's command line ("absent" where there is none) and the packages that take part."""
    found = {"python": platform.python_version(), "mecab": _mecab_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _mecab_version() -> str:
    mecab = shutil.which("mecab")
    if mecab is None:
        return "absent"
    done = subprocess.run([mecab, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip().removeprefix("mecab of ")
