"""Fixtures: an empty store of each kind; published snapshots, and environments that read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kizami.stores import ObjectStore, open_store
from support.environments import Environment, make_environment
from support.memory_store import MemoryStore
from support.published import Published, read_rows
from support.s3_server import S3Server
from support.snapshot_factory import Recipe, publish_snapshot, recipes

PROJECT = Path(__file__).parent.parent.parent


@pytest.fixture(params=["memory", "local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "memory":
        return MemoryStore()
    return open_store(str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("s3_url"))


@pytest.fixture(scope="session")
def local_snapshot(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A snapshot of several parts in a folder."""
    store = str(tmp_path_factory.mktemp("published") / "store")
    manifest = publish_snapshot(store, Recipe(recipes()))
    folder = f"{store}/v1/recipes/snapshots/{manifest.snapshot}/"
    return Published(store, manifest, read_rows(folder, manifest))


@pytest.fixture(scope="session")
def s3_snapshot(s3_server: S3Server, local_snapshot: Published) -> Published:
    """The same snapshot on the S3 server."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        store = f"s3://{s3_server.bucket}/readers"
        manifest = publish_snapshot(store, Recipe(recipes()))
    return Published(store, manifest, local_snapshot.rows)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def snapshot(request: pytest.FixtureRequest) -> Published:
    """The snapshot in a folder, and on S3 with the environment pointing there."""
    if request.param == "s3":
        request.getfixturevalue("s3_url")
    found: Published = request.getfixturevalue(f"{request.param}_snapshot")
    return found


@pytest.fixture(scope="session")
def pandas_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """pandas and pyarrow: what a data scientist has anyway."""
    return make_environment(tmp_path_factory.mktemp("environment") / "pandas", "pandas", "pyarrow")


@pytest.fixture(scope="session")
def duckdb_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """DuckDB with the extension that reads S3, which DuckDB itself downloads from its own site."""
    folder = tmp_path_factory.mktemp("environment") / "duckdb"
    return make_environment(folder, "duckdb-extension-httpfs==1.5.5", "pyarrow")


@pytest.fixture(scope="session")
def s3fs_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """s3fs over the tests' packages: it wants an older botocore than boto3 does."""
    return make_environment(tmp_path_factory.mktemp("environment") / "s3fs", "s3fs", below=True)


@pytest.fixture(scope="session")
def base_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """``pip install kizami``, without the extra that runs the job."""
    return make_environment(tmp_path_factory.mktemp("environment") / "kizami", str(PROJECT))
