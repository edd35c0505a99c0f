"""Arrow's memory in the processes of a run: one pool, told before Arrow starts, and the user's word counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow as pa
import pytest

IN_A_WORKER = """
import json
import pyarrow as pa
from kizami_jobs.memory import use_lasting_pool
use_lasting_pool()
print(json.dumps(pa.default_memory_pool().backend_name))
"""
IN_A_DRIVER = """
import json, os
import kizami_jobs.cluster
print(json.dumps(os.environ["ARROW_DEFAULT_MEMORY_POOL"]))
"""
LASTING = "jemalloc" if "jemalloc" in pa.supported_memory_backends() else "system"


@pytest.mark.parametrize("script", [IN_A_WORKER, IN_A_DRIVER], ids=["worker", "driver"])
@pytest.mark.parametrize("named", [None, "system"])
def test_the_pool_is_the_lasting_one_or_the_users(script: str, named: str | None) -> None:
    """A worker that was told nothing takes it for what comes; a driver tells the workers it will start."""
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    if named is not None:
        environment["ARROW_DEFAULT_MEMORY_POOL"] = named
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == (named or LASTING)
