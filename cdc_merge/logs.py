"""Log events with fields, to standard error only: lines for people, or one JSON object a line.

Loggers are those of the standard library underneath, so a program that embeds cdc-merge decides for itself
where events go; only the command line calls `configure`.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer, JSONRenderer, KeyValueRenderer
from structlog.stdlib import BoundLogger, filter_by_level
from structlog.typing import EventDict, Processor

Format = Literal["text", "json"]

ROOT = "cdc_merge"
MASK = "***"

# verbosity -> level of our own events, level of the libraries'. Libraries never get DEBUG: botocore then logs
# request headers, X-Amz-Security-Token among them.
# https://docs.aws.amazon.com/boto3/latest/reference/core/boto3.html#boto3.set_stream_logger
_LEVELS = {
    -1: (logging.WARNING, logging.ERROR),
    0: (logging.INFO, logging.WARNING),
    1: (logging.DEBUG, logging.WARNING),
    2: (logging.DEBUG, logging.INFO),
}

SECRET_WORDS = r"(?:pass(?:word|wd|code|phrase)|pwd|secret|token|signature|credential|private_key(?!_(?:file|path)\b))"
"""What the names of secrets have in them. A private key's place is none."""
_SECRET_KEY = re.compile(SECRET_WORDS, re.IGNORECASE)
# scheme://user:password@host; up to the last @, because a password may hold one that nobody escaped
_URL_PASSWORD = re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^\s\"']*@", re.IGNORECASE)
# ?X-Amz-Security-Token=... in presigned URLs, password=... in libpq connection strings
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE
_ASSIGNED = re.compile(rf"(?P<before>[\w-]*{SECRET_WORDS}[\w-]*\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s&'\"]+)", re.IGNORECASE)


def get_logger(name: str) -> BoundLogger:
    """A logger of events: `get_logger(__name__).info("batch_merged", source="shop", records=12)`."""
    return cast(
        BoundLogger,
        structlog.wrap_logger(
            logging.getLogger(name),
            processors=[filter_by_level, mask_secrets, _hand_over],
            wrapper_class=BoundLogger,
            context_class=dict,
            cache_logger_on_first_use=True,
        ),
    )


def configure(format: Format, verbosity: int = 0, stream: TextIO | None = None) -> None:
    """Sends all events of the process to `stream` (standard error if None); call again to change it.

    `verbosity`: -1 warnings, 0 progress, 1 details, 2 the libraries' progress too.
    """
    stream = stream or sys.stderr
    ours, libraries = _LEVELS[max(-1, min(2, verbosity))]
    handler = _Handler(stream)
    handler.setFormatter(_Formatter(_renderer(format, stream)))
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(libraries)
    logging.getLogger(ROOT).setLevel(ours)
    logging.captureWarnings(True)


def mask_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    """Replaces what must not be written down: values of secret keys, passwords inside text, at any depth."""
    return {key: value if key == "exc_info" else _masked(value, key=key) for key, value in event.items()}


def _masked(value: object, *, key: str) -> object:
    if _SECRET_KEY.search(key) and value is not None and not isinstance(value, bool):
        return MASK
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(name): _masked(part, key=str(name)) for name, part in value.items()}
        case str():
            return _masked_text(value)
        case datetime():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return f"{len(value)} bytes"
        case Sequence() | set() | frozenset():
            return [_masked(part, key=key) for part in value]
        case _:
            return _masked_text(str(value))


def _masked_text(text: str) -> str:
    return _ASSIGNED.sub(rf"\g<before>{MASK}", _URL_PASSWORD.sub(rf"\g<before>{MASK}@", text))


_as_pairs = KeyValueRenderer(key_order=["event"], drop_missing=True)


def _hand_over(logger: Any, method: str, event: EventDict) -> tuple[tuple[str], dict[str, Any]]:
    """Turns an event into a standard log record; a handler that is not ours shows it as `event='…' key=…`."""
    keywords: dict[str, Any] = {
        name: event.pop(name) for name in ("exc_info", "stack_info", "stacklevel") if name in event
    }
    message = str(_as_pairs(logger, method, dict(event)))
    return (message,), keywords | {"extra": {"cdc_merge_event": event}}


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that `configure` finds the one it added before."""


class _Formatter(logging.Formatter):
    """Renders our events, and the records of libraries in the same form."""

    def __init__(self, renderer: Processor) -> None:
        super().__init__()
        self._renderer = renderer
        self._render_exception = ExceptionRenderer()

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(getattr(record, "cdc_merge_event", None) or {"event": record.getMessage()})
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        own = {
            "timestamp": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": fields.pop("event"),
            "logger": record.name,
        }
        event: EventDict = own | {f"{name}_" if name in own else name: value for name, value in fields.items()}
        if record.exc_info and record.exc_info[0] is not None:
            event = self._render_exception(None, "", {**event, "exc_info": record.exc_info})
        return str(self._renderer(None, record.levelname.lower(), mask_secrets(None, "", event)))


def is_unicode(stream: TextIO) -> bool:
    """Whether any text can be written to it as it is; one in memory has no encoding."""
    return (stream.encoding or "utf-8").lower().startswith(("utf-8", "utf8"))


def _renderer(format: Format, stream: TextIO) -> Processor:
    if format == "json":
        return JSONRenderer(ensure_ascii=not is_unicode(stream))
    # https://no-color.org
    colors = stream.isatty() and not os.environ.get("NO_COLOR")
    return ConsoleRenderer(colors=colors, exception_formatter=plain_traceback)
