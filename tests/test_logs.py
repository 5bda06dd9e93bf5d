"""What is logged, where, and what is never written down."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cdc_merge import logs

log = logs.get_logger("cdc_merge.test")


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger(logs.ROOT)
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture
def lines() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("json", 0, stream)
    return stream


def events(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_stays_json_on_a_stream_that_lacks_letters(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, errors="backslashreplace")  # as standard error is
    logs.configure("json", 0, stream)
    log.info("quarantined", object="ä😀")
    stream.flush()
    assert json.loads(raw.getvalue().decode(encoding))["object"] == "ä😀"


def test_json_is_one_object_a_line_with_time_level_event_and_fields(lines: io.StringIO) -> None:
    log.info("batch_merged", source="shop", records=12, ratio=0.5, newest=datetime(2026, 1, 2, tzinfo=UTC))
    log.warning("two\nlines", detail="ä\n%s %d")

    first, second = events(lines)
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert datetime.fromisoformat(str(first.pop("timestamp"))).utcoffset() == datetime.now(UTC).utcoffset()
    assert first == {
        "level": "info",
        "event": "batch_merged",
        "logger": "cdc_merge.test",
        "source": "shop",
        "records": 12,
        "ratio": 0.5,
        "newest": "2026-01-02T00:00:00+00:00",
    }
    assert (second["level"], second["event"], second["detail"]) == ("warning", "two\nlines", "ä\n%s %d")


def test_text_is_a_line_for_people_without_colour_outside_a_terminal() -> None:
    stream = io.StringIO()
    logs.configure("text", 0, stream)
    log.info("batch_merged", source="shop", records=12)

    assert "batch_merged" in stream.getvalue()
    assert "source=shop" in stream.getvalue()
    assert "records=12" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_text_has_colour_on_a_terminal_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Terminal(), Terminal()
    logs.configure("text", 0, coloured)
    log.info("batch_merged")
    monkeypatch.setenv("NO_COLOR", "1")
    logs.configure("text", 0, plain)
    log.info("batch_merged")

    assert "\x1b" in coloured.getvalue()
    assert "\x1b" not in plain.getvalue()


@pytest.mark.parametrize(
    ("verbosity", "seen"),
    [
        (-1, ["our warning", "their error"]),
        (0, ["our info", "our warning", "their error", "their warning"]),
        (1, ["our debug", "our info", "our warning", "their error", "their warning"]),
        (2, ["our debug", "our info", "our warning", "their error", "their info", "their warning"]),
        (9, ["our debug", "our info", "our warning", "their error", "their info", "their warning"]),
    ],
)
def test_verbosity_chooses_what_we_and_the_libraries_say(verbosity: int, seen: list[str]) -> None:
    stream = io.StringIO()
    logs.configure("json", verbosity, stream)
    theirs = logging.getLogger("some.library")
    log.debug("our debug")
    log.info("our info")
    log.warning("our warning")
    theirs.debug("their debug")
    theirs.info("their info")
    theirs.warning("their warning")
    theirs.error("their %s", "error")

    assert sorted(str(e["event"]) for e in events(stream)) == seen


def test_warnings_of_libraries_are_events_too(lines: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # catch_warnings has put the printing hook back
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)

    (event,) = events(lines)
    assert event["logger"] == "py.warnings"
    assert "soon gone" in str(event["event"])


def test_an_exception_stays_on_its_line_with_its_traceback(lines: io.StringIO) -> None:
    try:
        raise ValueError("no route to postgresql://etl:hunter2@db/shop")
    except ValueError:
        log.exception("merge_failed", source="shop")

    (event,) = events(lines)
    assert event["level"] == "error"
    assert "ValueError: no route to postgresql://etl:***@db/shop" in str(event["exception"])


def test_a_field_named_like_ours_does_not_replace_it(lines: io.StringIO) -> None:
    log.info("odd", level="debug", logger="me", timestamp=0)

    (event,) = events(lines)
    assert (event["level"], event["level_"], event["logger_"], event["timestamp_"]) == (
        "info",
        "debug",
        "me",
        0,
    )


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({"password": "hunter2"}, {"password": "***"}),
        ({"private_key_passphrase": "hunter2", "pwd": "hunter2"}, {"private_key_passphrase": "***", "pwd": "***"}),
        (
            {"url": "snowflake://u@a/d?private_key_file=k.p8&private_key_file_pwd=hunter2&passcode=12"},
            {"url": "snowflake://u@a/d?private_key_file=k.p8&private_key_file_pwd=***&passcode=***"},
        ),
        ({"aws_secret_access_key": b"hunter2"}, {"aws_secret_access_key": "***"}),
        (
            {"options": {"Session-Token": "hunter2", "port": 1}},
            {"options": {"Session-Token": "***", "port": 1}},
        ),
        ({"tries": [{"PASSWORD": "hunter2"}]}, {"tries": [{"PASSWORD": "***"}]}),
        ({"token": None, "secret": True}, {"token": None, "secret": True}),
        ({"url": "postgresql://etl:hunter2@db:5432/shop"}, {"url": "postgresql://etl:***@db:5432/shop"}),
        ({"url": "postgresql://etl:hunt@er/2:@db/shop"}, {"url": "postgresql://etl:***@db/shop"}),
        ({"url": "postgresql://etl@db:5432/shop"}, {"url": "postgresql://etl@db:5432/shop"}),
        ({"object": "s3://lake/a:b@c.gz"}, {"object": "s3://lake/a:b@c.gz"}),
        (
            {"url": "https://b.s3.amazonaws.com/k?X-Amz-Signature=hunter2&X-Amz-Security-Token=hunter2&x=1"},
            {"url": "https://b.s3.amazonaws.com/k?X-Amz-Signature=***&X-Amz-Security-Token=***&x=1"},
        ),
        (
            {"dsn": "host=db password='hunter2 \\' hunter2' user=etl"},
            {"dsn": "host=db password=*** user=etl"},
        ),
        ({"error": ValueError("password=hunter2")}, {"error": "password=***"}),
        ({"raw": b"hunter2"}, {"raw": "7 bytes"}),
    ],
)
@pytest.mark.parametrize("format", ["text", "json"])
def test_secrets_are_masked_at_any_depth(
    fields: dict[str, object], written: dict[str, object], format: logs.Format
) -> None:
    stream = io.StringIO()
    logs.configure(format, 0, stream)
    log.info("connecting", **fields)

    assert "hunter2" not in stream.getvalue()
    if format == "json":
        (event,) = events(stream)
        assert {name: event[name] for name in fields} == written


def test_a_librarys_message_and_our_event_text_are_masked_too(lines: io.StringIO) -> None:
    logging.getLogger("some.library").warning("retry %s", "https://me:hunter2@host/x")
    log.info("retry https://me:hunter2@host/x")

    assert [e["event"] for e in events(lines)] == ["retry https://me:***@host/x"] * 2


def test_a_host_program_gets_standard_log_records_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="cdc_merge"):
        log.info("connecting", name="100%", args=1, password="hunter2")

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("cdc_merge.test", "INFO")
    assert record.getMessage() == "event='connecting' name='100%' args=1 password='***'"


def test_nothing_is_ever_logged_to_standard_output() -> None:
    code = (
        "from cdc_merge import logs\n"
        "log = logs.get_logger('cdc_merge.test')\n"
        "log.warning('before')\n"
        "logs.configure('json', 0)\n"
        "log.warning('after')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == ""
    assert "before" in done.stderr
    assert json.loads(done.stderr.splitlines()[-1])["event"] == "after"
