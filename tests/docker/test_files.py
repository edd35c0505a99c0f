"""What is in ``docker/``: checked by the tools of the trade, and against the code that it serves."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from kizami import layout
from kizami.config import load_config
from kizami.webhook import VARIABLE

DOCKER: Final = Path(__file__).resolve().parents[2] / "docker"
BIN: Final = Path(sys.executable).parent
ACTIONS: Final = {
    "get_object": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "copy_object": {"s3:GetObject", "s3:PutObject"},
    "delete_object": {"s3:DeleteObject"},
    "delete_objects": {"s3:DeleteObject"},
    "get_paginator": {"s3:ListBucket"},  # of list_objects_v2
    "get_bucket_versioning": {"s3:GetBucketVersioning"},
}
"""What each call of the store needs, by AWS's Service Authorization Reference."""


def test_the_dockerfile_passes_hadolint() -> None:
    """Not one remark."""
    done = subprocess.run([BIN / "hadolint", DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_keeps_the_specification() -> None:
    """By the Compose Specification's own JSON schema."""
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DOCKER / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_service_waits_for_what_it_needs() -> None:
    """What is named by depends_on is there, and what is to be healthy has a health check; all share one token."""
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert services.keys() == {"secrets", "s3", "bucket", "head", "worker", "scheduler"}
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed], f"{name} waits for {needed} to be healthy"
        if name in {"head", "worker", "scheduler"}:
            assert service["environment"]["RAY_AUTH_MODE"] == "token"
            assert "healthcheck" in service


def test_the_webhook_is_known_where_runs_are_submitted_and_made() -> None:
    """By the environment of whoever starts it all, and nowhere else; without the variable it is empty."""
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    told = {
        name: each["environment"][VARIABLE]
        for name, each in services.items()
        if VARIABLE in each.get("environment", {})
    }
    assert told == dict.fromkeys(("head", "scheduler"), "${KIZAMI_WEBHOOK_URL:-}")


def test_no_secret_is_written_down(tmp_path: Path) -> None:
    """They are made where the services run, once, and narrow: the reader cannot write, the writer has one bucket."""
    make_secrets = runpy.run_path(str(DOCKER / "compose" / "prepare.py"))["make_secrets"]
    make_secrets(tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    make_secrets(tmp_path)
    assert made == {path.name: path.read_text() for path in tmp_path.iterdir()}
    identities = {each["name"]: each["actions"] for each in json.loads(made["s3.json"])["identities"]}
    assert identities["reader"] == ["Read:kizami", "List:kizami"]
    assert identities["writer"] == ["Read:kizami", "Write:kizami", "List:kizami"]
    for name in ("writer", "reader", "admin"):
        key = made[f"{name}.credentials"].split()[3]
        assert key in made["s3.json"]
    assert len(made["ray-token"]) == 64
    assert (tmp_path / "ray-token").stat().st_mode & 0o777 == 0o400


def test_the_configuration_of_compose_is_one() -> None:
    """It loads, and its store is in the bucket that is made."""
    config = load_config(DOCKER / "compose" / "kizami.toml")
    bucket = runpy.run_path(str(DOCKER / "compose" / "prepare.py"))["BUCKET"]
    assert config.store.startswith(f"s3://{bucket}/")
    assert config.corpus("recipes").fields


@pytest.mark.parametrize(
    ("moment", "hours"),
    [
        ("2026-11-23T04:00", 1.0),
        ("2026-11-23T05:00", 24.0),
        ("2026-11-23T23:30", 5.5),
        ("2026-12-31T05:01", 24 - 1 / 60),
    ],
)
def test_the_scheduler_waits_for_the_next_time_of_day(moment: str, hours: float) -> None:
    """Today's if it is still to come, else tomorrow's."""
    seconds_until = runpy.run_path(str(DOCKER / "compose" / "daily.py"))["seconds_until"]
    tokyo = timezone(timedelta(hours=9))
    assert seconds_until("05:00", datetime.fromisoformat(moment).replace(tzinfo=tokyo)) == pytest.approx(hours * 3600)


def test_the_writer_may_do_what_the_code_does_and_no_more() -> None:
    """The actions of its policy on the store are those that the store's calls need, each and no other."""
    source = (DOCKER.parent / "service" / "kizami" / "stores" / "s3.py").read_text()
    calls = set(re.findall(r"self\._client\([^)]*\)\.(\w+)\(", source))
    needed = set().union(*(ACTIONS[call] for call in calls))
    assert _actions("writer") == needed
    assert not any("*" in action for action in _actions("writer"))


def test_the_reader_may_only_read_what_readers_read() -> None:
    """Pointers, manifests and parts; not the ledger, the quarantine, the suppression list or the lock."""
    assert _actions("reader") == {"s3:GetObject", "s3:ListBucket"}
    store = "arn:aws:s3:::ml-shared/tokens/"
    allowed = [resource for each in _policy("reader") for resource in _list(each["Resource"]) if "/" in resource]
    shown = [
        layout.latest_key("recipes"),
        layout.date_key("recipes", "2026-11-23"),
        layout.manifest_key("recipes", "s"),
        layout.part_key("recipes", "s", 0),
        layout.part_key("recipes", "s", 0, 2),
    ]
    hidden = [
        layout.head_key("recipes"),
        layout.quarantine_key("recipes", "r"),
        layout.staging_key("recipes", "k"),
        "v1/recipes/runs/r.json",
        "v1/recipes/suppressed.json",
    ]
    assert all(any(fnmatchcase(store + key, pattern) for pattern in allowed) for key in shown)
    assert not any(fnmatchcase(store + key, pattern) for pattern in allowed for key in hidden)


def test_the_lock_of_packages_is_of_this_project() -> None:
    """Every package that the job asks for is pinned, with a hash; nothing names a place to get it from."""
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (DOCKER / "requirements.lock").read_text(), re.MULTILINE))
    project = (DOCKER.parent / "pyproject.toml").read_text()
    wanted = project.partition("dependencies = [")[2].partition("pandas = [")[0]
    names = {name.replace("_", "-") for name in re.findall(r'^    "([a-z0-9_-]+)', wanted, re.MULTILINE)}
    assert "ray" in names
    assert names <= pinned
    for name in ("requirements.lock", "build.lock"):
        text = (DOCKER / name).read_text()
        assert text.count("==") <= text.count("--hash=sha256:")
        assert "://" not in text


def _policy(name: str) -> list[dict[str, Any]]:
    policy = json.loads((DOCKER / "iam" / f"{name}.json").read_text())
    assert policy["Version"] == "2012-10-17"
    statements: list[dict[str, Any]] = policy["Statement"]
    assert all(statement["Effect"] == "Allow" for statement in statements)
    return statements


def _actions(name: str) -> set[str]:
    return {action for statement in _policy(name) for action in _list(statement["Action"])}


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
