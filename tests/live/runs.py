"""The name of a run, which all that it makes on a service begins with: it says what made it, and when."""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime, timedelta

VARIABLE = "CDC_MERGE_LIVE_RUN"
"""Set by `python -m tests.live` for itself and the processes it starts: that is how a test knows that it is live."""

_FORM = re.compile(r"cdc_merge_live_(?P<began>\d{8}t\d{6})_[0-9a-f]{8}(?![0-9a-z])")
_MOMENT = "%Y%m%dt%H%M%S"


def new_run(now: datetime) -> str:
    """A name that no other run has."""
    return f"cdc_merge_live_{now.astimezone(UTC).strftime(_MOMENT)}_{secrets.token_hex(4)}"


def current_run() -> str | None:
    """The run that this process is part of."""
    return os.environ.get(VARIABLE)


def run_of(name: str) -> str | None:
    """The run that made a schema or a folder of this name; None: people did."""
    match = _FORM.match(name.lower())
    return match[0] if match else None


def age_of(run: str, *, now: datetime) -> timedelta:
    match = _FORM.fullmatch(run)
    assert match, run
    return now - datetime.strptime(match["began"], _MOMENT).replace(tzinfo=UTC)


__all__ = ["VARIABLE", "age_of", "current_run", "new_run", "run_of"]
