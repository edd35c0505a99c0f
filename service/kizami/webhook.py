"""The webhook: where people are told of a failure, a lateness or a recovery, as Slack and its like take it."""

from __future__ import annotations

import html
import http.client
import json
import os
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Final

VARIABLE: Final = "KIZAMI_WEBHOOK_URL"
"""The environment variable that names it. Whoever knows the URL can write there: it stands in no configuration, and is
never printed."""
_TIMEOUT_SECONDS: Final = 10.0
"""A run waits so long for an answer at the most."""
_REFUSALS: Final = frozenset({400, 413, 422})
"""Of a body; what is wrong with the URL or the receiver is wrong with every event."""


class WebhookError(Exception):
    """It did not take the event; the message says why, without the URL."""


class EventRefusedError(WebhookError):
    """It refused this very event, and may take others."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook."""

    url: str = field(repr=False)
    timeout_seconds: float = _TIMEOUT_SECONDS

    def post(self, event: str, text: str) -> None:
        """Send one event: ``{"text": …, "event_id": …}``, the id as ``Idempotency-Key`` too. Raises WebhookError unless
        the answer is 2xx and in time, EventRefusedError where it is 400, 413 or 422."""
        outcome: list[WebhookError | None] = []
        # In a thread: urllib's own time-out begins anew with each byte of an answer.
        thread = threading.Thread(target=lambda: outcome.append(self._fault(event, text)), daemon=True)
        thread.start()
        thread.join(self.timeout_seconds)
        if not outcome:
            raise WebhookError(f"no answer within {self.timeout_seconds:g} s")
        if outcome[0] is not None:
            raise outcome[0]

    def _fault(self, event: str, text: str) -> WebhookError | None:
        """Send it; what went wrong, if something did."""
        # Slack takes <…> and & for its own; what knows Markdown understands the entities too.
        body = json.dumps({"text": html.escape(text, quote=False), "event_id": event}).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": event}
        try:
            if not self.url.startswith(("https://", "http://")):
                return WebhookError(f"{VARIABLE} is no http:// or https:// URL")
            request = urllib.request.Request(self.url, body, headers, method="POST")
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout_seconds):
                return None
        except urllib.error.HTTPError as error:
            with error:
                kind = EventRefusedError if error.code in _REFUSALS else WebhookError
                return kind(f"HTTP {error.code}")
        except urllib.error.URLError as error:
            reason = error.reason  # never the error itself: some repeat the URL
            if isinstance(reason, OSError):
                return WebhookError(reason.strerror or type(reason).__name__)
            return WebhookError("no connection")
        except (OSError, ValueError, http.client.HTTPException) as error:
            return WebhookError(type(error).__name__)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is sent elsewhere arrives there as a GET without a body: better a failure that is told."""

    def redirect_request(self, *_arguments: object) -> None:
        return None


def webhook_of_environment() -> Webhook | None:
    """The webhook that the environment names, None where it names none."""
    url = os.environ.get(VARIABLE, "").strip()
    return Webhook(url) if url else None
