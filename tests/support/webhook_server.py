"""A webhook on loopback that takes events, fails when it is told to, and remembers all of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Delivery:
    """One request that came in."""

    body: dict[str, Any]
    headers: dict[str, str]
    status: int
    """What it was answered with."""

    @property
    def event(self) -> str:
        """The event's id."""
        return str(self.body["event_id"])

    @property
    def text(self) -> str:
        """What people are shown."""
        return str(self.body["text"])


class WebhookServer:
    """Answers with the next of the statuses given, and with 200 when there are none left."""

    SECRET = "T0/B0/xoxb-secret"

    def __init__(self, statuses: Iterable[int] = ()) -> None:
        self._statuses = list(statuses)
        self.deliveries: list[Delivery] = []
        self.silent = threading.Event()
        """While it is set, answers come a byte at a time, for ever."""
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._take(self)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its URL, a secret."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/services/{self.SECRET}"

    @property
    def taken(self) -> list[Delivery]:
        """The deliveries that it said yes to."""
        return [each for each in self.deliveries if each.status == 200]

    def fail(self, *statuses: int) -> None:
        """Answer the next requests so."""
        self._statuses += statuses

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        if self.silent.is_set():
            request.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.closing.wait(0.05):
                request.wfile.write(b"X-A: b\r\n")
            return
        status = self._statuses.pop(0) if self._statuses else 200
        self.deliveries.append(Delivery(body, dict(request.headers), status))
        request.send_response(status)
        if status in {301, 302, 307}:
            request.send_header("Location", self.url)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"ok")

    def __enter__(self) -> WebhookServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
