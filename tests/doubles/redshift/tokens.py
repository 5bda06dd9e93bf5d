"""Takes SQL apart into tokens and puts it together again: comments, texts, quoted names, words, signs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto


class Is(Enum):
    """The kinds of tokens."""

    SPACE = auto()
    TEXT = auto()
    NAME = auto()  # in double quotes
    WORD = auto()
    NUMBER = auto()
    SIGN = auto()


@dataclass(frozen=True)
class Token:
    kind: Is
    text: str

    @property
    def word(self) -> str:
        """A word in capitals; anything else as it is."""
        return self.text.upper() if self.kind is Is.WORD else self.text


_TOKEN = re.compile(
    r"""(?P<SPACE>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<TEXT>'(?:[^']|'')*')
    |(?P<NAME>"(?:[^"]|"")*")
    |(?P<WORD>[^\W\d][\w$]*)
    |(?P<NUMBER>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<SIGN>::|\|\||->>|->|\#>>|\#>|<>|<=|>=|!=|.)""",
    re.VERBOSE | re.DOTALL,
)


def tokens(sql: str) -> list[Token]:
    """All of it, spaces and comments too."""
    return [Token(Is[match.lastgroup or ""], match[0]) for match in _TOKEN.finditer(sql)]


def joined(parts: Sequence[Token]) -> str:
    return "".join(t.text for t in parts)


def said(parts: Sequence[Token]) -> list[Token]:
    """Without spaces and comments."""
    return [t for t in parts if t.kind is not Is.SPACE]


def statements(parts: Sequence[Token]) -> Iterator[list[Token]]:
    """Split at semicolons; empty statements are left out."""
    held: list[Token] = []
    for token in parts:
        if token.text == ";" and token.kind is Is.SIGN:
            if said(held):
                yield held
            held = []
        else:
            held.append(token)
    if said(held):
        yield held


def pattern(words: str) -> re.Pattern[str]:
    """A pattern over `spelled` tokens."""
    return re.compile(words)


def spelled(parts: Sequence[Token]) -> str:
    """Words in capitals, each followed by a blank; texts as '' and quoted names as "" so that no rule sees inside."""
    shapes = {Is.TEXT: "''", Is.NAME: '""'}
    return "".join(f"{shapes.get(t.kind, t.word)} " for t in said(parts))
