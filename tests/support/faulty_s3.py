"""A proxy in front of an S3 server that fails on demand, at the very request a test names.

::

    with FaultyS3(server.port) as proxy:          # clients use proxy.endpoint
        rule = proxy.hold("PUT", r"head\\.json$", body=rb'"commit"')
        ...                                       # start something that commits
        rule.await_reached()                      # its request is here and has not been carried out
        rule.release()                            # or rule.release(drop=True), or kill the client first

A request meets the first rule that matches and is not used up; each rule works ``times`` times (None: for ever).
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from enum import Enum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

_SLOW_DOWN: Final = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'
)


class Fault(Enum):
    """What a rule does with a request."""

    HOLD = "hold"
    HOLD_ANSWER = "hold answer"
    SLOW_DOWN = "503 SlowDown"
    DROP_REQUEST = "drop request"
    DROP_ANSWER = "drop answer"
    DELAY = "delay"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str
    """Path without the query, unquoted: ``/bucket/prefix/v1/recipes/head.json``."""
    query: str
    body: bytes


@dataclass(eq=False)
class Rule:
    """One fault in waiting."""

    fault: Fault
    method: str
    key: str
    body: bytes | None
    times: int | None
    seconds: float = 0.0
    every: int = 1
    """Of the requests that match, which: each (1), every second one (2), …"""
    hits: int = 0
    _matched: int = 0
    _reached: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)
    _dropped: bool = False

    def await_reached(self, timeout: float = 30.0) -> None:
        """Wait until a request has met this rule."""
        if not self._reached.wait(timeout):
            raise TimeoutError(f"no {self.method} of {self.key} came within {timeout:.0f} s")

    @property
    def reached(self) -> bool:
        """Whether a request has met this rule."""
        return self._reached.is_set()

    def release(self, *, drop: bool = False) -> None:
        """Let the held request go on, or drop its connection; later ones pass freely."""
        self._dropped = drop
        self._released.set()

    def _takes(self, request: Request) -> bool:
        if not self._matches(request):
            return False
        self._matched += 1
        return self._matched % self.every == 0

    def _matches(self, request: Request) -> bool:
        return (
            (self.times is None or self.hits < self.times)
            and re.fullmatch(self.method, request.method) is not None
            and re.search(self.key, request.path) is not None
            and (self.body is None or re.search(self.body, request.body, re.DOTALL) is not None)
        )

    def _wait(self) -> bool:
        self._released.wait()
        return self._dropped


class FaultyS3:
    """The proxy. ``requests`` lists every request that arrived, in order; ``carried_out`` those the server answered."""

    def __init__(
        self,
        upstream_port: int,
        host: str = "127.0.0.1",
        within: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """``host`` is the address to listen at, which ``within`` makes reachable while the socket is made."""
        self._upstream_port = upstream_port
        self._host = host
        self._within = within
        self._mutex = threading.Lock()
        self._rules: list[Rule] = []
        self._connections: set[socket.socket] = set()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        self.requests: list[Request] = []
        self.carried_out: list[Request] = []

    @property
    def endpoint(self) -> str:
        """What to set AWS_ENDPOINT_URL to. Requests are signed for this host, which the server is shown unchanged."""
        return f"http://{self._host}:{self.port}"

    def __enter__(self) -> FaultyS3:
        self.accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        self.refuse()

    def hold(self, method: str, key: str, *, body: bytes | None = None, times: int | None = 1) -> Rule:
        """Keep a request from the server until the rule is released."""
        return self._add(Rule(Fault.HOLD, method, key, body, times))

    def hold_answer(self, method: str, key: str, *, body: bytes | None = None, times: int | None = 1) -> Rule:
        """Let the server carry a request out, and keep its answer until the rule is released."""
        return self._add(Rule(Fault.HOLD_ANSWER, method, key, body, times))

    def slow_down(
        self, method: str, key: str, *, body: bytes | None = None, times: int | None = 1, every: int = 1
    ) -> Rule:
        """Answer 503 SlowDown; the server sees nothing."""
        return self._add(Rule(Fault.SLOW_DOWN, method, key, body, times, every=every))

    def drop_request(self, method: str, key: str, *, body: bytes | None = None, times: int | None = 1) -> Rule:
        """Break the connection before the server has seen the request."""
        return self._add(Rule(Fault.DROP_REQUEST, method, key, body, times))

    def drop_answer(self, method: str, key: str, *, body: bytes | None = None, times: int | None = 1) -> Rule:
        """Break the connection after the server has carried the request out."""
        return self._add(Rule(Fault.DROP_ANSWER, method, key, body, times))

    def delay(self, method: str, key: str, seconds: float, *, times: int | None = None) -> Rule:
        """Let requests wait."""
        return self._add(Rule(Fault.DELAY, method, key, None, times, seconds))

    def clear(self) -> None:
        """Forget all rules; what they hold goes on."""
        with self._mutex:
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.release(drop=rule._dropped)

    def refuse(self) -> None:
        """Be away: break all connections and refuse new ones until :meth:`accept`."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        if self._thread:
            self._thread.join()
        self._server = None
        with self._mutex:
            for each in self._connections:
                _break(each)

    def accept(self) -> None:
        """Be there (again), at the same port."""
        with self._within():
            self._server = _Server((self._host, self.port), self)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _add(self, rule: Rule) -> Rule:
        with self._mutex:
            self._rules.append(rule)
        return rule

    def _rule_for(self, request: Request) -> Rule | None:
        with self._mutex:
            self.requests.append(request)
            rule = next((each for each in self._rules if each._takes(request)), None)
            if rule:
                rule.hits += 1
                rule._reached.set()
            return rule

    def _tracked(self, connection: socket.socket, *, there: bool) -> None:
        with self._mutex:
            (self._connections.add if there else self._connections.discard)(connection)

    def _forward(self, request: Request, target: str, headers: list[tuple[str, str]]) -> tuple[int, str, Any, bytes]:
        upstream = HTTPConnection("127.0.0.1", self._upstream_port, timeout=60)
        try:
            upstream.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                if name.lower() not in {"connection", "expect"}:
                    upstream.putheader(name, value)
            upstream.endheaders(request.body)
            answer = upstream.getresponse()
            body = answer.read()
            with self._mutex:
                self.carried_out.append(request)
            return answer.status, answer.reason, answer.getheaders(), body
        finally:
            upstream.close()


@dataclass(frozen=True, slots=True)
class FaultyStore:
    """A store behind a proxy that fails on demand."""

    proxy: FaultyS3
    url: str


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], proxy: FaultyS3) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients here are killed on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self._proxy = cast("_Server", self.server).proxy
        self._proxy._tracked(self.connection, there=True)

    def finish(self) -> None:
        self._proxy._tracked(self.connection, there=False)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Stay silent."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, unquote(parts.path), parts.query, body)
        rule = self._proxy._rule_for(request)
        fault = rule.fault if rule else None
        if rule and fault is Fault.DELAY:
            time.sleep(rule.seconds)
        if fault is Fault.DROP_REQUEST or (rule and fault is Fault.HOLD and rule._wait()):
            self._drop()
            return
        if fault is Fault.SLOW_DOWN:
            self._answer(503, "Slow Down", [("Content-Type", "application/xml")], _SLOW_DOWN)
            return
        answer = self._proxy._forward(request, self.path, list(self.headers.items()))
        if fault is Fault.DROP_ANSWER or (rule and fault is Fault.HOLD_ANSWER and rule._wait()):
            self._drop()
            return
        self._answer(*answer)

    def _answer(self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status, reason)
        for name, value in headers:
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        self.send_header("Content-Length", length if length and self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _drop(self) -> None:
        self.close_connection = True
        _break(self.connection)

    do_GET: Callable[[_Handler], None] = _serve  # noqa: N815  # the base class looks for these names
    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815


def _break(connection: socket.socket) -> None:
    with suppress(OSError):  # broken already
        connection.shutdown(socket.SHUT_RDWR)
