"""The image, built for real without a Docker engine, and the job run in it: ``make test-image``.

Debian's buildah builds over a base that debootstrap makes, since no registry of images need be at hand.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.image

PROJECT: Final = Path(__file__).resolve().parents[2]
_PIP_CONFIGURATION: Final = Path("/etc/pip.conf")
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
"""What this host trusts, on its way to the registry of packages."""


class Builder:
    """buildah with storage of its own, which goes with its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._storage = ["--storage-driver", "vfs", "--root", str(folder / "root"), "--runroot", str(folder / "run")]

    def __call__(self, *arguments: str | Path, timeout: float = 1200.0) -> str:
        """Run buildah; what it prints. Raises AssertionError with its errors where it fails."""
        done = self._run(["buildah", *self._storage, *arguments], timeout)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout.strip()

    def code(self, *arguments: str | Path) -> int:
        """Its exit code alone."""
        return self._run(["buildah", *self._storage, *arguments], 300.0).returncode

    def make_base(self) -> str:
        """A minimal Debian with Python, as an image; its name."""
        packages = "--include=python3,python3-venv,ca-certificates"
        system = self.folder / "base"
        done = self._run(["debootstrap", "--variant=minbase", packages, "bookworm", system], 900.0)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        container = self("from", "scratch")
        self("copy", container, system, "/")
        self("commit", "--rm", container, "debian-python")
        shutil.rmtree(system)
        return "localhost/debian-python"

    def _run(self, command: Sequence[str | Path], timeout: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=timeout, check=False, cwd=PROJECT
        )


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    """buildah, where it is and may be used."""
    if os.geteuid() != 0:
        pytest.skip("building an image without an engine needs root")
    for command in ("buildah", "debootstrap"):
        if shutil.which(command) is None:
            pytest.skip(f"building an image without an engine needs {command} (Debian: apt-get install {command})")
    with tempfile.TemporaryDirectory(prefix="kizami-image-", ignore_cleanup_errors=True) as folder:
        yield Builder(Path(folder))


@pytest.fixture(scope="module")
def container(builder: Builder) -> Iterator[str]:
    """A container of the image."""
    base = builder.make_base()
    arguments: list[str | Path] = ["--isolation", "chroot", "--build-arg", f"BASE={base}", "--layers=false"]
    if _PIP_CONFIGURATION.exists():
        arguments += ["--secret", f"id=pip,src={_PIP_CONFIGURATION}"]
    if _CERTIFICATES.exists():
        arguments += ["--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"]
    builder("bud", *arguments, "-f", "docker/Dockerfile", "-t", "kizami", ".")
    made = builder("from", "localhost/kizami")
    yield made
    builder("rm", made)


def _in(builder: Builder, container: str, *command: str) -> str:
    return builder("run", "--isolation", "chroot", container, "--", *command)


def test_the_image_runs_the_sample_as_its_own_user(builder: Builder, container: str) -> None:
    """`kizami run` analyses and publishes, on a Ray of its own, as a user who is not root."""
    assert _in(builder, container, "id", "-u") == "10001"
    configuration = Path(__file__).with_name("kizami.toml").read_text()
    script = 'printf %s "$0" > kizami.toml && kizami run recipes --json && kizami history recipes'
    out = _in(builder, container, "sh", "-c", script, configuration)
    answer, _, history = out.partition("\n")
    run = json.loads(answer)["run"]
    assert (run["state"], run["counts"]["rows"], run["counts"]["quarantined"]) == ("published", 211, 0)
    assert "published" in history


def test_the_image_has_what_it_needs_and_no_more(builder: Builder, container: str) -> None:
    """No compiler and no pip in the environment, and no trace of where the packages came from."""
    for absent in ("cc", "gcc", "c++", "make", "hatchling"):
        assert builder.code("run", "--isolation", "chroot", container, "--", "sh", "-c", f"command -v {absent}") != 0
    assert builder.code("run", "--isolation", "chroot", container, "--", "python", "-c", "import pip") != 0
    assert builder.code("run", "--isolation", "chroot", container, "--", "test", "-s", "/etc/pip.conf") != 0
    assert builder.code("run", "--isolation", "chroot", container, "--", "test", "-e", "/build") != 0
    print(_in(builder, container, "du", "-sm", "/opt/kizami"))
