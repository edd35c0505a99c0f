"""Fixtures shared by all tests."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

import kizami_jobs.cluster  # noqa: F401  # first: it sets what Ray is to find in the environment
from kizami.signals import Interruption
from kizami.webhook import VARIABLE
from support import corpora
from support.faulty_s3 import FaultyS3, FaultyStore
from support.next_version import search_path
from support.postgres_server import PostgresServer, find_programs
from support.ray_cluster import JobsCluster, RayCluster
from support.s3_server import S3Server

RAY_CPUS = 3

# The runs that fail here on purpose are nobody's alarm, whatever the machine is set up for.
os.environ.pop(VARIABLE, None)

# A test that sends this process a signal does not end all others by being slow.
Interruption.curfew_seconds = 600


@pytest.fixture(scope="session")
def shared_corpora() -> None:
    """Skips a test where the corpora of ../shared are not at hand."""
    if not corpora.CORPORA.is_dir():
        pytest.skip("needs the corpora in ../shared, beside the project")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server with a bucket, for the whole session."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty store on the S3 server, which the environment points to."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    return f"s3://{s3_server.bucket}/test-{uuid.uuid4().hex}"


@pytest.fixture
def faulty_s3(s3_server: S3Server, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """An empty store on the S3 server, behind a proxy that fails on demand."""
    with FaultyS3(s3_server.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield FaultyStore(proxy, s3_url)


@pytest.fixture(scope="session")
def jobs_cluster(s3_server: S3Server) -> Iterator[JobsCluster]:
    """A cluster with a Jobs API, guarded by a token, for the whole session; its jobs reach the S3 server through a
    proxy that fails on demand."""
    with FaultyS3(s3_server.port) as proxy:
        environment = {**s3_server.environment, "AWS_ENDPOINT_URL": proxy.endpoint}
        with RayCluster(environment) as cluster:
            yield JobsCluster(cluster, proxy)


@pytest.fixture(scope="session")
def pgpass(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the passwords for PostgreSQL stand, once a server is there."""
    return tmp_path_factory.mktemp("pgpass") / "pgpass"


@pytest.fixture(scope="session")
def postgres_server(pgpass: Path) -> Iterator[PostgresServer]:
    """A real PostgreSQL server, for the whole session."""
    if find_programs() is None:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")
    with PostgresServer(pgpass) as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer, pgpass: Path, monkeypatch: pytest.MonkeyPatch) -> PostgresServer:
    """The PostgreSQL server, whose reader this process can be."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PGPASSFILE", str(pgpass))
    return postgres_server


@pytest.fixture(scope="session")
def local_ray(s3_server: S3Server, pgpass: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A local Ray for the whole session, whose workers know the S3 server, where the passwords for PostgreSQL stand,
    and have version 2 of the schema installed; its number of CPUs."""
    assert not ray.is_initialized()
    with pytest.MonkeyPatch.context() as patch:
        # Workers have the environment of the moment their node was started.
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        for folder in search_path(tmp_path_factory.mktemp("installed")):
            patch.setenv("PYTHONPATH", folder, prepend=os.pathsep)
        patch.setenv("PGPASSFILE", str(pgpass))
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init("local", num_cpus=RAY_CPUS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield RAY_CPUS
    ray.shutdown()
