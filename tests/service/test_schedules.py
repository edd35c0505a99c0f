"""What `kizami schedule` prints, read by those who are to read it: systemd, cron, and Kubernetes's own schemas."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import string
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from kizami.cli import build_parser
from kizami.schedules.kubernetes import name_of
from kizami_jobs.cli import VERBS, main
from support.ray_job_schema import RAY_JOB

NASTY = "a " + string.punctuation.replace("/", "") + r" $HOME ${HOME} $(id) `id` %h %% \% \\ \\% ; 料理"
"""The name of a folder, as bad as it may be."""
PROGRAM_FOLDER = "my % $HOME; kizami 刻み"
"""systemd takes no quotes in the path of a program."""
KUBERNETES = "1.34"
systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)")
cron = pytest.mark.skipif(shutil.which("crontab") is None, reason="needs crontab (Debian: cron)")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may read, systemd's tests run as nobody."""
    with tempfile.TemporaryDirectory(prefix="kizami-schedule-", dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def program(folder: Path) -> Path:
    """A program in a folder with a bad name: it writes what it was given, one word a line."""
    path = folder / PROGRAM_FOLDER / "kizami"
    path.parent.mkdir(mode=0o755)
    path.write_text('#!/bin/sh\nfor word in "$0" "$@"; do printf "%s\\n" "$word"; done\n', "utf-8")
    path.chmod(0o755)
    return path


def configuration(folder: Path, corpus: str = "recipes", zone: str = "Asia/Tokyo") -> Path:
    """A configuration in a folder with the worst of names."""
    path = folder / NASTY / "kizami.toml"
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.write_text(
        f'store = "s3://a/b"\ntimezone = "{zone}"\n[corpora.{corpus}]\nsource = "a.jsonl"\nid = "id"\nfields = ["t"]\n',
        "utf-8",
    )
    return path


def schedule(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, str]:
    """The files that it would write, by name."""
    capsys.readouterr()
    code = main(["schedule", *map(str, arguments), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert code == 0, printed
    files: dict[str, str] = printed["files"]
    return files


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The message with which it ends by 78."""
    assert main(["schedule", *map(str, arguments)]) == 78
    return capsys.readouterr().err


def sh(command: str) -> list[str]:
    """Lines that a shell's command prints."""
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, check=True, timeout=60, env={"PATH": "/usr/bin:/bin"}
    )
    return done.stdout.decode().splitlines()


def verify(*files: Path) -> tuple[int, str]:
    """What systemd-analyze makes of units: exit code and complaints."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, files)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )
    return done.returncode, done.stderr


def dumped(folder: Path, unit: str) -> str:
    """A unit as systemd itself has read it, in the test mode that root is refused."""
    nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        ["/lib/systemd/systemd", "--test", "--system", f"--unit={unit}", "--log-target=console"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
        timeout=60,
        env={"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        **nobody,
    )
    _, _, rest = done.stdout.partition(f"-> Unit {unit}:")
    return rest.partition("-> Unit ")[0]


@pytest.mark.parametrize(
    ("more", "stopped"), [([], "the run goes on on the cluster"), (["--local"], "gives the lock back")]
)
def test_a_unit_says_what_its_time_out_stops(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], stopped: str
) -> None:
    """The run, where it is made; of one that was submitted the waiting alone."""
    files = schedule(capsys, "systemd", "recipes", "--config", configuration(folder), *more)
    assert stopped in files["kizami-recipes.service"]


@systemd
def test_systemd_reads_the_units(folder: Path, program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`systemd-analyze verify` has nothing to say, and systemd itself has understood every word of the command."""
    config = configuration(folder)
    files = schedule(
        capsys, "systemd", "recipes", "--config", config, "--program", program, "--write", folder, "--user", "nobody",
        "--address", "http://head:8265", "--timeout", "90m",
    )  # fmt: skip
    paths = [folder / name for name in files]
    assert [path.name for path in paths] == ["kizami-recipes.service", "kizami-recipes.timer"]
    assert verify(*paths) == (0, "")
    seen = dumped(folder, "kizami-recipes.service")
    (line,) = re.findall(r"Command Line: (.*)", seen)
    command = [str(program), "submit", "recipes", "--config", str(config), "--address", "http://head:8265"]
    assert sh(f"printf '%s\\n' {line}") == command
    assert "TimeoutStartSec: 1h 30min" in seen
    assert "KillMode: mixed" in seen
    assert re.search(r"^SuccessExitStatus=75$", files["kizami-recipes.service"], re.MULTILINE)


@systemd
def test_the_timer_is_in_the_zone(folder: Path, program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It starts the service at that time there, catches up what was missed, and not all of a site at once."""
    config = configuration(folder, "novels_2", "America/Argentina/Buenos_Aires")
    files = schedule(
        capsys, "systemd", "novels_2", "--config", config, "--program", program, "--write", folder, "--at", "23:05",
        "--jitter", "54m", "--local",
    )  # fmt: skip
    assert verify(*(folder / name for name in files)) == (0, "")
    seen = dumped(folder, "kizami-novels_2.timer")
    assert "OnCalendar=*-*-* 23:05:00 America/Argentina/Buenos_Aires" in files["kizami-novels_2.timer"]
    assert "*-*-* 23:05:00 America/Argentina/Buenos_Aires" in seen
    assert "RandomizedDelaySec=3240\n" in files["kizami-novels_2.timer"]
    assert "Persistent: yes" in seen
    assert "kizami-novels_2.service" in seen
    assert " run novels_2 " in files["kizami-novels_2.service"]


@systemd
@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        (r"Asia/Tokyo\n# Missed", "Asia/Tokio\n# Missed"),
        (r"ExecStart=:/", "ExecStart=:./"),
        (r"TimeoutStartSec=\d+", "TimeoutStartSec=soon"),
        (r"SuccessExitStatus=75", "SuccesExitStatus=75"),
    ],
)
def test_systemd_would_find_a_fault(folder: Path, capsys: pytest.CaptureFixture[str], pattern: str, wrong: str) -> None:
    """The checker sees what is wrong."""
    config = configuration(folder)
    files = schedule(capsys, "systemd", "recipes", "--config", config, "--program", "/bin/true")
    spoiled = {name: re.sub(pattern, wrong, content) for name, content in files.items()}
    assert spoiled != files
    for name, content in spoiled.items():
        (folder / name).write_text(content, "utf-8")
    code, complaints = verify(*(folder / name for name in spoiled))
    assert code != 0 or complaints


def cron_command(line: str, unescaped: str) -> str:
    """The command of a crontab's line as cron gives it to sh: up to the first bare ``%``, without the backslash before
    one of ``unescaped``, which is ``%`` by cronie's source and ``%\\`` by Debian's."""
    command, escaped = "", False
    for character in line.split(None, 5)[5]:
        if escaped:
            command = command[:-1] + character if character in unescaped else command + character
            escaped = False
        elif character == "%":
            break
        else:
            command += character
            escaped = character == "\\"
    return command


@cron
def test_cron_reads_the_table(folder: Path, program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`crontab -n` takes it, and what cron gives to the shell is the command, word for word."""
    config = configuration(folder)
    files = schedule(capsys, "cron", "recipes", "--config", config, "--program", program, "--at", "03:07")
    (table,) = files.values()
    path = folder / "table"
    path.write_text(table, "utf-8")
    checked = subprocess.run(["crontab", "-n", str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert (checked.returncode, "successfully checked" in checked.stdout + checked.stderr) == (0, True), checked
    *_, zone, line, anacron = table.splitlines()
    assert zone == "CRON_TZ=Asia/Tokyo"
    assert line.startswith("7 3 * * * timeout --kill-after=60 21600 ")
    words = [str(program), "submit", "recipes", "--config", str(config)]
    assert [sh(cron_command(line, unescaped)) for unescaped in ("%", "%\\")] == [words, words]
    assert sh(anacron.split(None, 5)[5]) == words


@cron
def test_cron_would_find_a_fault(folder: Path) -> None:
    """The checker sees an hour that there is not."""
    path = folder / "table"
    path.write_text("7 25 * * * true\n", "utf-8")
    checked = subprocess.run(["crontab", "-n", str(path)], capture_output=True, check=False, timeout=60)
    assert checked.returncode != 0


def test_a_command_too_long_for_cron_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """cron would cut it off or refuse the table."""
    config = configuration(folder)
    program = "/" + "刻/" * 500 + "kizami"
    assert "cron takes commands of 998 characters" in refused(
        capsys, "cron", "recipes", "--config", config, "--program", program
    )


def validated(manifest: dict[str, Any]) -> None:
    """Raise unless Kubernetes's own schema takes it, nothing in it unknown."""
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("local", [False, True])
def test_kubernetes_takes_the_cron_job(folder: Path, capsys: pytest.CaptureFixture[str], local: bool) -> None:
    """By its schema; one run at a time, in the zone, caught up within the day, the command as it is."""
    config = configuration(folder, "novels_2")
    more = ["--local"] if local else ["--address", "http://$(HOST):8265"]
    files = schedule(
        capsys, "k8s", "novels_2", "--config", config, "--at", "22:30", "--namespace", "data",
        "--image", "r.io/kizami:1", *more,
    )  # fmt: skip
    (text,) = files.values()
    assert "&id" not in text
    manifest = yaml.safe_load(text)
    validated(manifest)
    spec = manifest["spec"]
    assert manifest["metadata"]["namespace"] == "data"
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("30 22 * * *", "Asia/Tokyo", "Forbid")
    assert spec["startingDeadlineSeconds"] == 90 * 60 - 1
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (0, 21600)
    (container,) = job["template"]["spec"]["containers"]
    assert container["image"] == "r.io/kizami:1"
    words = ["kizami", "run" if local else "submit", "novels_2", "--config", "/etc/kizami/kizami.toml"]
    # Kubernetes makes $(HOST) of the doubled dollar again, and replaces nothing.
    assert container["command"] == words + ([] if local else ["--address", "http://$$(HOST):8265"])
    assert any(mount["mountPath"] == "/dev/shm" for mount in container["volumeMounts"]) is local


def test_kuberay_takes_the_ray_job(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the schema of its resource, and its pods by Kubernetes's."""
    config = configuration(folder)
    files = schedule(capsys, "k8s", "recipes", "--config", config, "--kind", "rayjob", "--workers", "3")
    (text,) = files.values()
    manifest = yaml.safe_load(text)
    jsonschema.validate(manifest, RAY_JOB, jsonschema.Draft202012Validator)
    assert manifest["spec"]["entrypoint"] == "kizami run recipes --config /etc/kizami/kizami.toml"
    cluster = manifest["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["replicas"] == 3
    for group in (cluster["headGroupSpec"], workers):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **group["template"]}
        validated(pod)
    validated({"apiVersion": "v1", "kind": "Pod", "metadata": manifest["metadata"], "spec": group["template"]["spec"]})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(timezone="Asia/Tokyo"),
        lambda spec: spec.update(concurrencyPolicy=1),
        lambda spec: spec.pop("schedule"),
        lambda spec: spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0].update(cmd=["kizami"]),
    ],
)
def test_the_schemas_would_find_a_fault(folder: Path, capsys: pytest.CaptureFixture[str], spoil: Any) -> None:
    """The checker sees what is wrong."""
    (text,) = schedule(capsys, "k8s", "recipes", "--config", configuration(folder)).values()
    manifest = yaml.safe_load(text)
    spoil(manifest["spec"])
    with pytest.raises(kubernetes_validate.ValidationError):
        validated(manifest)


@pytest.mark.parametrize("key", ["entryPoint", "schedule"])
def test_the_ray_jobs_schema_would_find_a_fault(folder: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    """KubeRay's resource has no such key."""
    (text,) = schedule(capsys, "k8s", "recipes", "--config", configuration(folder), "--kind", "rayjob").values()
    manifest = yaml.safe_load(text)
    manifest["spec"][key] = "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, RAY_JOB, jsonschema.Draft202012Validator)


def test_every_corpus_has_a_name_of_its_own() -> None:
    """Kubernetes takes no ``_`` and nothing long; two corpora never share a name."""
    corpora = ["recipes", "a_b", "a-b", "a-", "a_", "x" * 64, "x" * 63 + "y", "0"]
    names = [name_of(corpus) for corpus in corpora]
    assert len(set(names)) == len(corpora)
    assert names[0] == "kizami-recipes"
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name) for name in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["systemd", "--at", "23:58"], "may begin on the next day"),
        (["systemd", "--at", "12:00", "--jitter", "12h"], "may begin on the next day"),
        (["systemd", "--image", "x"], "--image means nothing to systemd: it is for k8s"),
        (["cron", "--jitter", "5m"], "--jitter means nothing to cron: it is for systemd"),
        (["k8s", "--program", "/bin/true"], "--program means nothing to k8s: it is for systemd and cron"),
        (["cron", "--local", "--address", "http://h:8265"], "--address is for what is submitted"),
        (["k8s", "--kind", "rayjob", "--address", "http://h:8265"], "--address is for what is submitted"),
        (["systemd", "--wait", "6h"], "--wait 6h is not shorter than --timeout 6h"),
        (["cron", "--wait", "90m", "--timeout", "1h"], "--wait 90m is not shorter than --timeout 1h"),
        (["systemd", "--program", "/a'b/kizami"], "no program with a quote or backslash"),
        (["cron", "--program", "/a\nb/kizami"], "a path with a control character"),
        (["cron", "--address", "http://kim:hunter2@head:8265"], "--address holds credentials"),
        (["cron", "--write", "/proc/none"], "/proc/none cannot be written (No such file or directory)"),
        (["systemd", "--write", "/dev/null"], "/dev/null cannot be written (File exists)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """With 78 and the reason, before anything is printed."""
    form, *more = arguments
    assert message in refused(capsys, form, "recipes", "--config", configuration(folder), *more)


@pytest.mark.parametrize(
    "more", [[], ["--local"], ["--kind", "rayjob"], ["--address", "http://head:8265"]], ids=" ".join
)
def test_a_late_dump_is_waited_for(folder: Path, capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    """--wait goes into the command, which `kizami` itself takes, whether it submits or runs."""
    config = configuration(folder)
    (text,) = schedule(capsys, "k8s", "recipes", "--config", config, "--wait", "90m", *more).values()
    manifest = yaml.safe_load(text)
    if manifest["kind"] == "RayJob":
        command = shlex.split(manifest["spec"]["entrypoint"])
    else:
        (container,) = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        command = container["command"]
    assert command[-2:] == ["--wait", "90m"]
    parsed = build_parser(VERBS).parse_args(command[1:])
    assert (parsed.wait, getattr(parsed, "no_wait", False)) == (5400.0, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["systemd", "--user", "a\nExecStartPre=/bin/sh"],
        ["systemd", "--user", ""],
        ["systemd", "--timeout", f"{'9' * 30}h"],
        ["k8s", "--namespace", "A_B"],
        ["k8s", "--image", "a\nb"],
        ["k8s", "--image", ""],
        ["k8s", "--kind", "rayjob", "--workers", "9" * 30],
    ],
    ids=lambda value: " ".join(value).replace("\n", " "),
)
def test_no_option_brings_in_what_the_file_cannot_hold(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """A usage error, where systemd or Kubernetes would refuse the file, or read a line of it as another setting."""
    form, *more = arguments
    with pytest.raises(SystemExit) as ended:
        main(["schedule", form, "recipes", "--config", str(configuration(folder)), *more])
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("at", ["3", "24:00", "03:60", "3:0", "03:00:00", "now"])
def test_a_time_is_hours_and_minutes(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is a usage error, for `schedule` as for `check`."""
    for arguments in (["schedule", "cron", "recipes", "--at", at], ["check", "recipes", "--by", at]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "write it as 06:00" in capsys.readouterr().err


def test_what_is_written_is_what_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--write makes the folder and names the files; without it two files stand under their names."""
    config = configuration(folder)
    files = schedule(capsys, "systemd", "recipes", "--config", config, "--program", "/bin/true")
    assert main(["schedule", "systemd", "recipes", "--config", str(config), "--program", "/bin/true"]) == 0
    printed = capsys.readouterr().out
    assert printed == "\n".join(f"# {name}\n{content}" for name, content in files.items())
    target = folder / "new" / "units"
    assert main(
        ["schedule", "systemd", "recipes", "--config", str(config), "--program", "/bin/true", "--write", str(target)]
    ) == 0  # fmt: skip
    assert capsys.readouterr().out.split() == [str(target / name) for name in files]
    assert {path.name: path.read_text("utf-8") for path in target.iterdir()} == files
