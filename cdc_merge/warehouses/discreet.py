"""Keeps the values of rows out of what engines say: their messages end up in logs, which masks do not reach."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"", re.DOTALL)
_QUOTES = "'\""


def without_values(message: str) -> str:
    """The message with `…` for all that it quotes, also where a quote is never closed."""
    bare = _QUOTED.sub("…", message)
    opened = min((at for quote in _QUOTES if (at := bare.find(quote)) >= 0), default=None)
    return bare if opened is None else f"{bare[:opened]}…"


__all__ = ["without_values"]
