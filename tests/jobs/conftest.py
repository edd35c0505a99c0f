"""Fixtures of the tests that run the job: one local Ray for all of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import ray

import kizami_jobs.cluster  # noqa: F401  # first: it sets what Ray is to find in the environment
from support.s3_server import S3Server

CPUS = 3


@pytest.fixture(scope="session")
def local_ray(s3_server: S3Server) -> Iterator[int]:
    """A local Ray for the whole session, whose workers know the S3 server; its number of CPUs."""
    assert not ray.is_initialized()
    with pytest.MonkeyPatch.context() as patch:
        # Workers have the environment of the moment their node was started.
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init("local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield CPUS
    ray.shutdown()
