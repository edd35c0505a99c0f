"""What has to be there before the services of compose.yaml start: secrets of their own, and the bucket."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import boto3
from botocore.config import Config

BUCKET = "kizami"
_PROBE = "probe"


def make_secrets(folder: Path) -> None:
    """Write Ray's token, the S3 server's identities and everyone's credentials, unless they are there.

    The identities are as narrow as the server can say it; on AWS, ``docker/iam`` has the policies.
    """
    if (folder / "s3.json").exists():
        return
    folder.chmod(0o755)
    (folder / "ray-token").write_text(secrets.token_hex(32))
    rights = {"admin": ["Admin"], "writer": ["Read", "Write", "List"], "reader": ["Read", "List"]}
    identities = []
    for name, actions in rights.items():
        key, secret = f"{name}-{secrets.token_hex(6)}", secrets.token_hex(20)
        (folder / f"{name}.credentials").write_text(
            f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        )
        own = actions if name == "admin" else [f"{action}:{BUCKET}" for action in actions]
        identities.append({"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": own})
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    for path in folder.iterdir():
        path.chmod(0o400)
    (folder / "s3.json").chmod(0o444)  # the server has a user of its own


def make_bucket() -> None:
    """Make the bucket, unless it is there, and see that it takes objects. Credentials and endpoint are those of the
    environment."""
    client = boto3.client("s3", config=Config(retries={"mode": "standard", "total_max_attempts": 12}))
    if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=BUCKET)
    # A server that has only just started answers 500 until it has room for a first object: some seconds, seldom more.
    client.put_object(Bucket=BUCKET, Key=_PROBE, Body=b"probe")
    client.delete_object(Bucket=BUCKET, Key=_PROBE)


if __name__ == "__main__":
    if sys.argv[1:2] == ["secrets"]:
        make_secrets(Path(sys.argv[2]))
    else:
        make_bucket()
