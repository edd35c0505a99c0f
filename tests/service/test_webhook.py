"""The webhook, over HTTP: what it is sent, and what becomes of one that does not take it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from kizami.webhook import VARIABLE, EventRefusedError, Webhook, WebhookError, webhook_of_environment
from support.webhook_server import WebhookServer


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    """A webhook that takes everything."""
    with WebhookServer() as running:
        yield running


def test_an_event_is_a_text_and_an_id(server: WebhookServer) -> None:
    """As Slack takes it; the id is in the body, and a header that gateways know."""
    Webhook(server.url).post("recipes.1.failed", "だめ: recipes 2026-11-27")
    (delivery,) = server.deliveries
    assert delivery.body == {"text": "だめ: recipes 2026-11-27", "event_id": "recipes.1.failed"}
    assert delivery.headers["Content-Type"] == "application/json"
    assert delivery.headers["Idempotency-Key"] == "recipes.1.failed"


def test_slack_takes_nothing_in_it_for_its_own(server: WebhookServer) -> None:
    """A file may be called so as to call everybody in the channel."""
    Webhook(server.url).post("id", "<!channel>.jsonl & 'x'")
    assert server.deliveries[0].text == "&lt;!channel&gt;.jsonl &amp; 'x'"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 410, 413, 422, 429, 500, 503])
def test_only_a_yes_is_a_yes(server: WebhookServer, status: int) -> None:
    """Everything else is named by its status; a redirect is not followed."""
    server.fail(status)
    with pytest.raises(WebhookError, match=rf"^HTTP {status}$") as raised:
        Webhook(server.url).post("id", "text")
    assert isinstance(raised.value, EventRefusedError) == (status in {400, 413, 422})
    assert len(server.deliveries) == 1


def test_an_answer_that_never_ends_is_given_up(server: WebhookServer) -> None:
    """Though something comes all the time."""
    server.silent.set()
    started = time.monotonic()
    with pytest.raises(WebhookError, match=r"no answer within 0\.5 s"):
        Webhook(server.url, timeout_seconds=0.5).post("id", "text")
    assert time.monotonic() - started < 5


def test_the_url_is_never_told() -> None:
    """Not by the value, not by an error: nobody listening, no such host, no URL at all, one with a line break in it."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        for url in (
            f"http://127.0.0.1:{port}/SECRET",
            "http://no-such-host.invalid/SECRET",
            "SECRET",
            "file:///SECRET",
            "ftp://127.0.0.1/SECRET",
            "http://127.0.0.1:port/SECRET",
            "http://[/SECRET",
            "http://127.0.0.1/SECRET\nX: y",
            "http:///SECRET",
            "http://SECRET/日本",
        ):
            webhook = Webhook(url, timeout_seconds=20)
            assert "SECRET" not in repr(webhook)
            with pytest.raises(WebhookError) as raised:
                webhook.post("id", "text")
            assert "SECRET" not in str(raised.value), url
            assert raised.value.__cause__ is None
            assert str(raised.value), url


def test_the_environment_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable, or with an empty one, there is none."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert webhook_of_environment() is None
    for empty in ("", " "):
        monkeypatch.setenv(VARIABLE, empty)
        assert webhook_of_environment() is None
    monkeypatch.setenv(VARIABLE, "https://hooks.example/x\n")
    assert webhook_of_environment() == Webhook("https://hooks.example/x")
