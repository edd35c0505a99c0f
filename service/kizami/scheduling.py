"""The verb ``schedule``: prints what starts the daily job."""

from __future__ import annotations

import argparse
import datetime as dt
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from kizami.cli import Answer, Verb, add_corpus, add_wait
from kizami.config import load_config
from kizami.deadline import duration
from kizami.errors import ConfigurationError
from kizami.log import without_credentials
from kizami.monitoring import time_of_day
from kizami.schedules import Schedule, cron, kubernetes, systemd
from kizami.schedules.kubernetes import Cluster

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_ONLY: Final = {
    "user": ("systemd",),
    "jitter": ("systemd",),
    "program": ("systemd", "cron"),
    "image": ("k8s",),
    "namespace": ("k8s",),
    "kind": ("k8s",),
    "workers": ("k8s",),
}
"""Options that only some of them know."""
_DEFAULTS: Final[dict[str, Any]] = {"jitter": 300, "kind": "cronjob", "workers": 2}


def _schedule(parsed: argparse.Namespace) -> Answer:
    _require_known(parsed)
    asked = {**_DEFAULTS, **{name: value for name, value in vars(parsed).items() if value is not None}}
    config = load_config(parsed.config)
    corpus = config.corpus(parsed.corpus)
    in_kubernetes, is_ray_job = parsed.form == "k8s", asked["kind"] == "rayjob" and parsed.form == "k8s"
    program = "kizami" if in_kubernetes else asked.get("program") or _program()
    file = kubernetes.CONFIG_FILE if in_kubernetes else str(parsed.config.resolve())
    is_local = parsed.local or is_ray_job
    if is_local and parsed.address:
        raise ConfigurationError(
            "--address is for what is submitted to a cluster, not for what runs here: take one out"
        )
    if parsed.wait >= parsed.timeout:
        raise ConfigurationError(
            f"--wait {duration(parsed.wait)} is not shorter than --timeout {duration(parsed.timeout)}, after which it "
            "is stopped: give more of the one or less of the other"
        )
    if parsed.address and without_credentials(parsed.address) != parsed.address:
        raise ConfigurationError(
            "--address holds credentials, and others can read a schedule: give it as RAY_API_SERVER_ADDRESS with the "
            "other secrets"
        )
    address = ("--address", parsed.address) if parsed.address else ()
    wait = ("--wait", duration(parsed.wait)) if parsed.wait else ()
    schedule = Schedule(
        corpus=corpus.name,
        command=(program, "run" if is_local else "submit", corpus.name, "--config", file, *address, *wait),
        at=parsed.at,
        zone=config.timezone.key,
        timeout_seconds=parsed.timeout,
        jitter_seconds=asked["jitter"] if parsed.form == "systemd" else 0,
    )
    files = _files(schedule, asked, is_local=is_local)
    if parsed.write is None:
        return Answer(_text(files), {"files": files})
    try:
        parsed.write.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (parsed.write / name).write_text(content, "utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or parsed.write} cannot be written ({error.strerror}): name another folder with --write"
        ) from None
    return Answer("\n".join(str(parsed.write / name) for name in files), {"files": files})


def _files(schedule: Schedule, asked: dict[str, Any], *, is_local: bool) -> dict[str, str]:
    """What is printed, by the name of a file."""
    form = asked["form"]
    if form == "systemd":
        return systemd.units(schedule, asked.get("user"))
    if form == "cron":
        return {f"kizami-{schedule.corpus}.cron": cron.table(schedule)}
    image = asked.get("image") or f"kizami:{version('kizami')}"
    cluster = Cluster(image, asked.get("namespace"), asked["workers"])
    if asked["kind"] == "rayjob":
        manifest, how = kubernetes.ray_job(schedule, cluster, _ray_version()), "kubectl create -f: one run, now"
    else:
        manifest, how = kubernetes.cron_job(schedule, cluster, analyses=is_local), "kubectl apply -f"
    return {f"kizami-{schedule.corpus}-{asked['kind']}.yaml": _yaml(manifest, how)}


def _text(files: dict[str, str]) -> str:
    if len(files) == 1:
        return next(iter(files.values())).rstrip()
    return "\n".join(f"# {name}\n{content}" for name, content in files.items()).rstrip()


def _yaml(manifest: dict[str, Any], how: str) -> str:
    try:
        import yaml  # noqa: PLC0415  # readers need none of it
    except ModuleNotFoundError as error:
        raise ConfigurationError("yaml is not installed: this needs pip install 'kizami[jobs]'") from error

    class Dumper(yaml.SafeDumper):
        """Writes what comes twice twice."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    head = (
        f"# {how}\n# Beside it: a ConfigMap kizami with the key kizami.toml, and a Secret kizami with AWS's and Ray's\n"
        "# credentials and KIZAMI_WEBHOOK_URL, each under the name of its environment variable.\n"
    )
    return head + str(yaml.dump(manifest, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110))


def _require_known(parsed: argparse.Namespace) -> None:
    for name, forms in _ONLY.items():
        if getattr(parsed, name) is not None and parsed.form not in forms:
            raise ConfigurationError(f"--{name} means nothing to {parsed.form}: it is for {' and '.join(forms)}")


def _program() -> str:
    """The kizami that runs now."""
    beside = Path(sys.executable).with_name("kizami")
    return str(beside) if beside.exists() else shutil.which("kizami") or "/usr/local/bin/kizami"


def _ray_version() -> str:
    try:
        return version("ray")
    except PackageNotFoundError:
        raise ConfigurationError(
            "ray is not installed: a RayJob names its version; pip install 'kizami[jobs]'"
        ) from None


def _duration(value: str) -> int:
    match = re.fullmatch(r"([1-9]\d{0,6})(s|m|h)", value)
    if not match:
        raise argparse.ArgumentTypeError(f"{value!r} is no duration; write it as 90s, 15m or 6h")
    return int(match[1]) * _SECONDS[match[2]]


def _user(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", value):
        raise argparse.ArgumentTypeError(f"{value!r} is no user's name or number")
    return value


def _image(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./:@-]*", value):
        raise argparse.ArgumentTypeError(f"{value!r} is no container image; write it as registry/kizami:0.1.0")
    return value


def _namespace(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise argparse.ArgumentTypeError(f"{value!r} is no namespace: Kubernetes takes a-z, 0-9 and -, 63 at the most")
    return value


def _program_path(value: str) -> str:
    if not value.startswith("/"):
        raise argparse.ArgumentTypeError(f"{value!r} is no absolute path: a scheduler knows no current folder")
    return value


def _count(value: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}", value):
        raise argparse.ArgumentTypeError(f"{value!r} is no number from 1 to 999999")
    return int(value)


def _add_schedule_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("form", choices=("systemd", "cron", "k8s"), help="what is to start it")
    add_corpus(parser)
    at = dt.time(3)
    parser.add_argument(
        "--at", type=time_of_day, default=at, metavar="HH:MM", help="in the configured time zone (default: 03:00)"
    )
    parser.add_argument("--local", action="store_true", help="run it there instead of submitting it to a cluster")
    parser.add_argument("--address", metavar="URL", help="the cluster to submit it to")
    parser.add_argument(
        "--timeout", type=_duration, default=6 * 3600, metavar="T", help="after which it is stopped (default: 6h)"
    )
    add_wait(parser)
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write the files there instead of printing them")
    parser.add_argument("--program", type=_program_path, metavar="PATH", help="the kizami to start (default: this one)")
    parser.add_argument(
        "--jitter", type=_duration, metavar="T", help="systemd: start up to so much later (default: 5m)"
    )
    parser.add_argument("--user", type=_user, metavar="NAME", help="systemd: the user to run it as (default: root)")
    parser.add_argument(
        "--kind", choices=("cronjob", "rayjob"), help="k8s: a CronJob (default), or KubeRay's RayJob for one run"
    )
    parser.add_argument(
        "--image", type=_image, metavar="IMAGE", help="k8s: the container image (default: kizami:VERSION)"
    )
    parser.add_argument(
        "--namespace", type=_namespace, metavar="NAME", help="k8s: the namespace (default: kubectl's own)"
    )
    parser.add_argument("--workers", type=_count, metavar="N", help="k8s: workers of a RayJob (default: 2)")


SCHEDULE_VERB: Final = Verb(
    "schedule",
    "print what starts the job every day: units for systemd, a crontab, or a manifest for Kubernetes",
    _add_schedule_arguments,
    _schedule,
)
