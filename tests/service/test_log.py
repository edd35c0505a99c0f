"""Logs for programs: one JSON object a line."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import time
from datetime import datetime, timedelta

import pytest

from kizami import log
from kizami.log import EventHandler, EventStream, JsonLog, last_word, without_credentials


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_a_line() -> None:
    """Time in UTC to the millisecond, level, name, then its own members; line breaks do not break it."""
    stream = io.StringIO()
    JsonLog(stream).event("message", message="鍋\n皿")
    (line,) = _lines(stream)
    assert list(line) == ["time", "level", "event", "message"]
    assert (line["level"], line["event"], line["message"]) == ("info", "message", "鍋\n皿")
    assert datetime.fromisoformat(str(line["time"])).utcoffset() == timedelta(0)


def test_a_stream_that_lacks_the_characters_gets_escapes() -> None:
    """ASCII, as under LANG=C: still JSON, still the same text."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace")
    JsonLog(stream).event("message", message="鍋")
    assert json.loads(raw.getvalue())["message"] == "鍋"


def test_what_others_write_becomes_events() -> None:
    """Whole lines only; a line that is an event already stays as it is; blank ones are none."""
    stream = io.StringIO()
    others = EventStream(JsonLog(stream))
    others.write("(raylet) a worker di")
    assert stream.getvalue() == ""
    others.write('ed\n\n{"event": "start"}\n[1]\nrest')
    assert [(line["event"], line.get("message")) for line in _lines(stream)] == [
        ("output", "(raylet) a worker died"),
        ("start", None),
        ("output", "[1]"),
    ]


def test_pythons_own_log_becomes_events() -> None:
    """A warning of the lease, say."""
    stream = io.StringIO()
    EventHandler(JsonLog(stream)).emit(
        logging.LogRecord("kizami.lease", logging.WARNING, "", 0, "a beat for %s failed", ("recipes",), None)
    )
    (line,) = _lines(stream)
    assert (line["level"], line["event"], line["logger"]) == ("warning", "log", "kizami.lease")
    assert line["message"] == "a beat for recipes failed"


def test_the_last_word_has_the_form_of_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for people, an error for programs."""
    last_word("UnavailableError", "the store is away", 69)
    assert capsys.readouterr().err == "kizami: the store is away\n"
    stream = io.StringIO()
    handler = EventHandler(JsonLog(stream))
    logging.getLogger().addHandler(handler)
    try:
        last_word("UnavailableError", "the store is away", 69)
    finally:
        logging.getLogger().removeHandler(handler)
    (line,) = _lines(stream)
    assert (line["event"], line["level"]) == ("error", "error")
    assert (line["error"], line["message"], line["exit_code"]) == ("UnavailableError", "the store is away", 69)
    assert capsys.readouterr().err == ""


def test_nobody_has_to_read_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that is full keeps no process from its end."""

    class Full(io.StringIO):
        def write(self, text: str, /) -> int:
            left.wait(60)
            return len(text)

    left = threading.Event()
    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(log, "_SAYING_SECONDS", 0.05)
    started = time.monotonic()
    last_word("UnavailableError", "the store is away", 69)
    assert time.monotonic() - started < 30
    left.set()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:secret@bucket/a@b", "s3://bucket/a@b"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("/srv/a@b", "/srv/a@b"),
        ("https://user:word@host/x", "https://host/x"),
        ("https://host/x.gz?X-Amz-Date=1&X-Amz-Signature=secret", "https://host/x.gz"),
        ("s3://bucket/x/?access_key=a&secret_key=secret", "s3://bucket/x/"),
        ("s3://bucket/key-?/dt=?/part-?.parquet", "s3://bucket/key-?/dt=?/part-?.parquet"),
    ],
)
def test_credentials_in_a_url_are_not_shown(url: str, shown: str) -> None:
    """What stands before an @ in the first part, elsewhere it is a name; and parameters with a secret among them, which
    a ? of a glob does not begin."""
    assert without_credentials(url) == shown
