"""Python environments other than that of the tests: what a reader has who never heard of Kizami."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment."""

    folder: Path

    def script(self, name: str) -> Path:
        """A command of the environment."""
        return self.folder / "bin" / name

    def run(
        self, *command: str | Path, variables: Mapping[str, str], folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with these environment variables and a PATH; nothing of the tests' environment leaks in."""
        return subprocess.run(
            [str(part) for part in command],
            env={"PATH": os.defpath, "LANG": "C.UTF-8", **variables},
            cwd=folder or self.folder,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    def python(self, code: str, variables: Mapping[str, str]) -> str:
        """Run a program, warnings as errors; return what it prints. Raises where it fails, with what it wrote."""
        done = self.run(self.script("python"), "-c", code, variables=variables)
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout


def make_environment(folder: Path, *requirements: str, below: bool = False) -> Environment:
    """A fresh environment with these packages installed by pip; ``below`` lets it see those of the tests too, its own
    first."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    made = Environment(folder)
    install = [str(made.script("python")), "-m", "pip", "install", "--quiet", "--no-compile", *requirements]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pip could not install {', '.join(requirements)}: {done.stderr[-2000:]}")
    if below:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        paths = folder / "lib" / version / "site-packages" / "below.pth"
        paths.write_text(sysconfig.get_path("purelib") + "\n")
    return made
