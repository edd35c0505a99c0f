"""What an error of boto3 means for the caller, in one line without a secret."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    InvalidConfigError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)

from kizami.errors import ConfigurationError, UnavailableError
from kizami.stores.base import ConditionFailedError, ObjectMissingError, OutcomeUnknownError

S3_ERRORS: Final = (ClientError, BotoCoreError, ValueError)
"""Everything boto3 raises; a malformed ``AWS_ENDPOINT_URL`` is a bare ValueError."""

_NEVER_SENT: Final = (
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ConfigNotFound,
    ConfigParseError,
    InvalidConfigError,
    NoRegionError,
    ParamValidationError,
    ValueError,
)
_DENIED: Final = {
    "AccessDenied": "give the credentials the right to read, write and list there",
    "AllAccessDisabled": "give the credentials the right to read, write and list there",
    "403": "give the credentials the right to read, write and list there",
    "InvalidAccessKeyId": "correct the access key",
    "SignatureDoesNotMatch": "correct the secret key",
    "InvalidBucketName": "correct `store`",
    "PermanentRedirect": "set AWS_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region",
    "RequestTimeTooSkewed": "set this machine's clock",
    "NotImplemented": "use a server that has S3's conditional writes",
}
_EXPIRED: Final = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"}


def is_conflict(error: Exception) -> bool:
    """Whether two conditional writes met (409 ConditionalRequestConflict): neither was tested, ask again."""
    return isinstance(error, ClientError) and _status(error) == 409


def explanation(error: Exception, *, url: str, endpoint: str, key: str, writes: bool) -> Exception:
    """The error to raise instead: of the store's own kind where it is an answer, else one line for a person.

    ``writes``: whether the request would have changed something, so that no definite answer means OutcomeUnknownError.
    """
    if isinstance(error, ClientError):
        answer = _answer(error, url=url, key=key)
        if isinstance(answer, ObjectMissingError | ConditionFailedError):
            return answer
        # A refusal is about the last request only: one before it may have been carried out and its answer lost.
        retried = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0
        if writes and (_status(error) >= 500 or retried):
            return OutcomeUnknownError(
                f"{url}: no good answer to the write of {key} ({_code(error)}); see to the store"
            )
        return answer
    if isinstance(error, _NEVER_SENT):
        return ConfigurationError(
            f"{url}: {_one_line(error, endpoint)}: set AWS's credentials, profile, region and endpoint"
        )
    kind = type(error).__name__.removesuffix("Error")
    message = (
        f"{url}: the store at {_without_userinfo(endpoint)} does not answer ({kind}, {key}); "
        "see to the network and the store, then try again"
    )
    return OutcomeUnknownError(message) if writes else UnavailableError(message)


def _answer(error: ClientError, *, url: str, key: str) -> Exception:
    code, status = _code(error), _status(error)
    if code == "NoSuchBucket":
        return ConfigurationError(f"{url}: the bucket does not exist: create it or correct `store`")
    if status == 404:
        return ObjectMissingError(key)
    if status == 412:
        return ConditionFailedError(key)
    if code in _EXPIRED:
        return UnavailableError(f"{url}: the credentials have expired ({code}): renew them, then try again")
    if code in _DENIED:
        return ConfigurationError(f"{url}: the store refuses {key} ({code}): {_DENIED[code]}")
    return UnavailableError(f"{url}: the store refuses {key} ({code}, HTTP {status}); see to the store, then try again")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _status(error: ClientError) -> int:
    metadata: Any = error.response.get("ResponseMetadata", {})
    return int(metadata.get("HTTPStatusCode", 0))


def _one_line(error: Exception, endpoint: str) -> str:
    text = " ".join(str(error).split())
    return text.replace(endpoint, _without_userinfo(endpoint)).rstrip(".")


def _without_userinfo(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
