"""Keeps what is secret in the URLs of services out of all that a run says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO, cast
from urllib.parse import unquote, urlsplit

from cdc_merge.logs import MASK, SECRET_WORDS


def secrets_of(url: str) -> set[str]:
    """Passwords and the like, as they stand in the URL and as they are meant."""
    parts = urlsplit(url)
    options = [option.partition("=")[::2] for option in parts.query.split("&")]
    given = [value for name, value in options if re.search(SECRET_WORDS, name, re.IGNORECASE)]
    return {form for value in (parts.password or "", *given) for form in (value, unquote(value)) if form}


@contextmanager
def discreetly(urls: Iterable[str]) -> Iterator[None]:
    """What is printed during the block shows no secret of these URLs."""
    secrets = set[str]().union(*map(secrets_of, urls))
    out, err = (cast(TextIO, Discreet(stream, secrets)) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        yield


class Discreet:
    """A stream of text in which each secret is masked; what is written at once must hold a secret whole."""

    def __init__(self, stream: TextIO, secrets: Iterable[str]) -> None:
        self._stream = stream
        longest_first = sorted(secrets, key=len, reverse=True)
        self._secret = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def write(self, text: str) -> int:
        self._stream.write(self._secret.sub(MASK, text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


__all__ = ["Discreet", "discreetly", "secrets_of"]
