"""Keeps the values of rows out of what engines say: their messages end up in logs, which masks do not reach."""

from __future__ import annotations

import re

# Servers that speak other languages quote otherwise: https://www.postgresql.org/docs/current/nls.html
_QUOTE = "['\"«»‹›„“”‚‘’「」『』]"
_QUOTED = re.compile(f"{_QUOTE}.*{_QUOTE}", re.DOTALL)
_OPENED = re.compile(f"{_QUOTE}.*", re.DOTALL)


def without_values(message: str) -> str:
    """The message with `…` from its first quote to its last: a value may hold quotes itself."""
    return _OPENED.sub("…", _QUOTED.sub("…", message))


__all__ = ["without_values"]
