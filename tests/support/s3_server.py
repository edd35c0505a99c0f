"""A real S3 server on loopback: SeaweedFS in one process, on free ports, with credentials."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_START_SECONDS = 40.0
_PORTS = (
    "-s3.port",
    "-s3.port.grpc",
    "-master.port",
    "-master.port.grpc",
    "-volume.port",
    "-volume.port.grpc",
    "-filer.port",
    "-filer.port.grpc",
)


class S3Server:
    """A running server with one bucket. ``environment`` is what a process needs to reach it."""

    access_key = "kizami-test"
    secret_key = "kizami-test-secret"  # of a server that lives as long as the tests
    bucket = "kizami-test"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def __enter__(self) -> S3Server:
        data = self._folder / "data"
        data.mkdir(parents=True)
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        identity = {
            "name": "test",
            "credentials": credentials,
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = self._folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self.port = self._ports["-s3.port"]
        self.start()
        return self

    def start(self) -> None:
        """Start the server on what is there, which after :meth:`stop` is all that it has answered for."""
        data, config = self._folder / "data", self._folder / "s3.json"
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(Path(sys.executable).parent / "weed"),
                    "server",
                    f"-dir={data}",
                    "-ip=127.0.0.1",
                    "-s3",
                    f"-s3.config={config}",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-master.telemetry=false",
                    "-master.volumeSizeLimitMB=64",
                    "-volume.max=100",
                    *(f"{name}={port}" for name, port in self._ports.items()),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._await_bucket()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process. At once: its orderly way takes 15 s."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def _await_bucket(self) -> None:
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=5),
        )
        patience_ends = time.monotonic() + _START_SECONDS
        while True:
            try:
                client.create_bucket(Bucket=self.bucket)
                # The first write waits for the volume servers: better here than in the first test.
                client.put_object(Bucket=self.bucket, Key="probe", Body=b"probe")
                break
            except (BotoCoreError, ClientError) as error:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > patience_ends:
                    log = (self._folder / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"the S3 server did not start: {log}") from error
                if isinstance(error, ClientError) and "BucketAlready" in str(error):
                    break
                time.sleep(0.1)
        client.close()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different: bound together, then freed."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
