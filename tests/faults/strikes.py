"""The faults, each at an exact request of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from faults.outcome import Outcome
from faults.scene import BRIEF, PATIENT, Case, Lock, Scene
from support.faulty_s3 import Rule
from support.store_contents import staged
from support.two_hosts import HEAD, WORKER, await_condition


def worker_killed(case: Case) -> None:
    """A worker process dies while it puts a part into staging."""
    rule = case.hosts.proxy.hold("PUT", r"/staging/", times=None)
    with case.run(HEAD) as run:
        rule.await_reached(60)
        victim = case.hosts.await_workers(WORKER, "make_part")[0]
        victim.kill()
        victim.wait(20)
        rule.release()
        case.ended(run)


def host_lost(case: Case) -> None:
    """A host fails with all that runs on it: workers, their parts, the blocks they had read."""
    rule = _one_part_staged(case)
    with case.run(HEAD) as run:
        _await_one_part(case, rule)
        case.hosts.await_workers(WORKER, "make_part")
        case.hosts.fell(WORKER)
        rule.release()
        case.ended(run)


def driver_killed(case: Case) -> None:
    """The process of the run is killed with a part finished; a run from the other host follows."""
    rule = _one_part_staged(case)
    with case.run(HEAD) as run:
        _await_one_part(case, rule)
        run.kill()
        case.ended(run)
    case.hosts.proxy.clear()
    case.run_until_free(WORKER)


def partition(case: Case) -> None:
    """The host of a run that holds the lock is cut off from Ray and from the store; a run from the other follows while
    the first one lives."""
    rule = _one_part_staged(case)
    with case.run(WORKER) as cut:
        _await_one_part(case, rule)
        case.hosts.network.cut(WORKER)
        case.hosts.proxy.clear()
        case.run_until_free(HEAD)
        case.hosts.network.join(WORKER)
        case.ended(cut, 60)  # by itself, though it may hang in Ray, which has given its host up


def s3_restarted(case: Case) -> None:
    """The S3 server is killed under the run, and started again."""
    rule = _one_part_staged(case)
    with case.run(HEAD) as run:
        _await_one_part(case, rule)
        case.s3.stop()
        rule.release()
        case.s3.start()
        case.ended(run)


def s3_overloaded(case: Case) -> None:
    """S3 answers 503 to one request in five, and the others slowly."""
    case.hosts.proxy.slow_down(".*", "", times=None, every=5)
    case.hosts.proxy.delay(".*", "", 0.1)
    with case.run(HEAD) as run:
        case.ended(run)


def _one_part_staged(case: Case) -> Rule:
    case.hosts.proxy.delay("PUT", r"/staging/", 0.0, times=1)  # the first one passes
    return case.hosts.proxy.hold("PUT", r"/staging/", times=None)


def _await_one_part(case: Case, rule: Rule) -> None:
    rule.await_reached(60)
    await_condition(lambda: len(staged(case.store)) == 1, "the first part to be staged", 60)


FAULTS: Final[dict[str, tuple[Callable[[Case], None], Lock]]] = {
    "worker": (worker_killed, BRIEF),
    "host": (host_lost, BRIEF),
    "driver": (driver_killed, BRIEF),
    "partition": (partition, BRIEF),
    "s3_restart": (s3_restarted, PATIENT),
    "s3_overload": (s3_overloaded, PATIENT),
}


def strike(scene: Scene, name: str) -> Outcome:
    """Let a fault of this name happen, and start a run after it where none has published; what came of it."""
    fault, lock = FAULTS[name]
    with scene.case(lock) as case:
        fault(case)
        if 0 not in case.codes:
            scene.hosts.restore()
            case.run_until_free(HEAD)
        return case.outcome(name)
