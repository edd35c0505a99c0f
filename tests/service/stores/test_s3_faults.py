"""S3 at its worst: throttling, lost answers, silence, refusals."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kizami.errors import ConfigurationError, UnavailableError
from kizami.stores import ConditionFailedError, OutcomeUnknownError, open_store
from kizami.stores.s3 import S3Patience, S3Store
from support.faulty_s3 import FaultyStore

pytestmark = pytest.mark.s3
BRIEF = S3Patience(attempts=2, connect_seconds=1, read_seconds=1, bulk_read_seconds=1)


def test_throttling_is_waited_out(faulty_s3: FaultyStore) -> None:
    """Some 503 SlowDown are no error."""
    store = S3Store(faulty_s3.url)
    rule = faulty_s3.proxy.slow_down("PUT", "k$", times=2)
    store.create("k", b"1")
    assert rule.hits == 2
    assert store.get("k").body == b"1"


def test_a_lost_answer_shows_as_a_failed_condition(faulty_s3: FaultyStore) -> None:
    """The retry of a write that was carried out finds one's own bytes: read back before concluding."""
    store = S3Store(faulty_s3.url)
    faulty_s3.proxy.drop_answer("PUT", "k$")
    with pytest.raises(ConditionFailedError):
        store.create("k", b"mine")
    assert store.get("k").body == b"mine"


def test_a_write_without_any_answer_is_in_doubt(faulty_s3: FaultyStore) -> None:
    """Whether or not the server got it, the caller knows that it does not know."""
    store = S3Store(faulty_s3.url, BRIEF)
    faulty_s3.proxy.drop_answer("PUT", "carried-out$", times=None)
    faulty_s3.proxy.drop_request("PUT", "never-seen$", times=None)
    for key in ("carried-out", "never-seen"):
        with pytest.raises(OutcomeUnknownError) as caught:
            store.put(key, b"1")
        assert "\n" not in str(caught.value)
    assert [info.key for info in store.list("")] == ["carried-out"]


def test_a_download_that_breaks_off_is_begun_again(faulty_s3: FaultyStore, tmp_path: Path) -> None:
    """Dropped connections on reads are retried until the object is whole."""
    store = S3Store(faulty_s3.url)
    store.put("k", b"1" * 100_000)
    faulty_s3.proxy.drop_answer("GET", "k$", times=2)
    store.download("k", tmp_path / "k")
    assert (tmp_path / "k").stat().st_size == 100_000


def test_a_store_that_is_away_is_an_error_in_bounded_time(faulty_s3: FaultyStore) -> None:
    """Refused connections end in one line that names the store, exit code 69; later the store is there again."""
    store = S3Store(faulty_s3.url, BRIEF)
    store.put("k", b"1")
    faulty_s3.proxy.refuse()
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        store.get("k")
    assert time.monotonic() - began < 10
    assert caught.value.exit_code == 69
    assert faulty_s3.url in str(caught.value)
    faulty_s3.proxy.accept()
    assert store.get("k").body == b"1"


def test_a_store_that_hangs_is_an_error_in_bounded_time(faulty_s3: FaultyStore) -> None:
    """A connection that never answers is given up."""
    store = S3Store(faulty_s3.url, BRIEF)
    rule = faulty_s3.proxy.hold("GET", "k$", times=None)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="ReadTimeout"):
        store.get("k")
    assert time.monotonic() - began < 10
    rule.release()


def test_a_missing_bucket_is_named(s3_url: str) -> None:
    """Only a person can create it: exit code 78."""
    with pytest.raises(ConfigurationError, match="s3://no-such-bucket/x: the bucket does not exist"):
        open_store("s3://no-such-bucket/x").get("k")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong-secret", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "nobody", "InvalidAccess"),
    ],
)
def test_wrong_credentials_are_an_error_without_the_secret(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: str
) -> None:
    """The message says what to correct and repeats no secret."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=code) as caught:
        open_store(s3_url).put("k", b"1")
    assert "secret" not in str(caught.value).replace("correct the secret key", "")


def test_missing_credentials_are_an_error_of_the_configuration(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, so nothing is in doubt."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match="credentials"):
        open_store(s3_url).create("k", b"1")


def test_a_malformed_endpoint_is_an_error_of_the_configuration(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_ENDPOINT_URL is a person's to correct."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    with pytest.raises(ConfigurationError, match="endpoint"):
        open_store(s3_url).get("k")


def test_a_local_store_needs_no_boto3() -> None:
    """Importing the stores stays light."""
    program = "import sys; from kizami.stores import open_store; open_store('x'); sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_store_in_a_hurry_gives_up_soon(faulty_s3: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process does that is to end: two short attempts, and when its time is up not even one; unless it answers."""
    store = S3Store(faulty_s3.url)
    store.hurry()
    monkeypatch.setattr(store, "_ends", time.monotonic() - 1)
    store.put("k", b"1")
    rule = faulty_s3.proxy.hold("GET", "k$", times=None)
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        store.get("k")
    assert time.monotonic() - started < 12
    assert rule.hits == 2
    rule.release(drop=True)
    with pytest.raises(UnavailableError, match="given up, because the process is to end"):
        store.put("k", b"2")
    assert sum(request.method == "PUT" for request in faulty_s3.proxy.requests) == 1
