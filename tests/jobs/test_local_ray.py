"""The Ray that a run starts for itself on its host: what it has, what its workers know, and that it ends whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.ray

# In a process of its own: the tests' Ray is another one, and a process has one at a time.
SCRIPT = """
import json, sys, time
import psutil
from kizami_jobs.cluster import connected

def commands():
    return [" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)]

with connected(None):
    import ray
    from kizami_jobs.warming import warm_up
    children = psutil.Process().children(recursive=True)
    started = commands()

    @ray.remote(num_cpus=1)
    def look():
        time.sleep(0.3)  # so that each worker gets one
        return "kizami_jobs.tasks" in sys.modules

    before = ray.get([look.remote(), look.remote()])
    warm_up()
    after = ray.get([look.remote(), look.remote()])
_, alive = psutil.wait_procs(children, timeout=30)
print(json.dumps([started, before, after, [process.pid for process in alive]]))
"""


def test_a_local_ray_has_no_idlers_warm_workers_and_a_whole_end() -> None:
    """Nothing asks for more hosts or passes on what workers print; all workers import their tasks' modules when told;
    no process stays behind."""
    environment = {**os.environ, "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": 2})}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    started, before, after, alive = json.loads(done.stdout.splitlines()[-1])
    assert any("raylet" in command for command in started)
    assert not any("autoscaler" in command and "monitor.py" in command for command in started)
    assert not any("log_monitor.py" in command for command in started)
    assert (before, after) == ([False, False], [True, True])
    assert alive == []
