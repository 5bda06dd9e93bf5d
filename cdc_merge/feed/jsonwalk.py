"""Follows the JSON grammar through a stream of bytes, to where an object closes or to the byte that breaks it."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from enum import Enum, auto
from typing import Final

from cdc_merge.feed.compression import Reader

# Deeper is no data: DynamoDB nests 32 levels, and no JSON parser in use follows this far.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_DEPTH = 100_000
READ_BYTES = 2**20

# RFC 8259, with possessive quantifiers so that nothing is ever tried twice. A number needs the byte after it,
# or a number cut by the end of the window would pass for a whole one.
_TOKENS = {
    "W": r"[ \t\r\n]*+",
    "CHARACTERS": r'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+',
    "STRING": r'"<CHARACTERS>"',
    "NUMBER": r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+(?=[ \t\r\n,\]}])",
    "SCALAR": r"(?:<STRING>|<NUMBER>|true|false|null)",
    "FLAT_MEMBER": r"<STRING><W>:<W><SCALAR><W>",
    "FLAT_OBJECT": r"\{<W>(?:<FLAT_MEMBER>(?:,<W><FLAT_MEMBER>)*+)?+\}",
    "FLAT_ARRAY": r"\[<W>(?:<SCALAR><W>(?:,<W><SCALAR><W>)*+)?+\]",
    # What one match takes as a whole; with {"S": "text"} among it, hardly a step is left to Python.
    "FLAT": r"(?:<SCALAR>|<FLAT_OBJECT>|<FLAT_ARRAY>)",
    "MEMBERS": r"(?:<W>,<W><STRING><W>:<W><FLAT>)*+",
    "ELEMENTS": r"(?:<W>,<W><FLAT>)*+",
}


def _compile(pattern: str) -> re.Pattern[bytes]:
    while names := set(re.findall(r"<([A-Z_]+)>", pattern)):
        for name in names:
            pattern = pattern.replace(f"<{name}>", _TOKENS[name])
    return re.compile(pattern.encode("ascii"))


_OBJECT, _ARRAY = ord("{"), ord("[")
_FIRST_MEMBER, _NEXT_MEMBER, _FIRST_ELEMENT, _NEXT_ELEMENT = range(4)
_FIRST: Final = {_OBJECT: _FIRST_MEMBER, _ARRAY: _FIRST_ELEMENT}
_NEXT: Final = {_OBJECT: _NEXT_MEMBER, _ARRAY: _NEXT_ELEMENT}

# One step from each state. Group 1: the container closes; group 2: another opens; none: its first value is read.
_STEPS: Final = tuple(
    _compile(pattern).match
    for pattern in (
        r"<W>(?:(\})|<STRING><W>:<W>(?:<FLAT>|([{\[])))",
        r"<MEMBERS><W>(?:(\})|,<W><STRING><W>:<W>([{\[]))",
        r"<W>(?:(\])|<FLAT>|([{\[]))",
        r"<ELEMENTS><W>(?:(\])|,<W>([{\[]))",
    )
)
# How far a step that failed came. Group 1 need not be looked at again.
_STRIDES: Final = tuple(
    _compile(pattern).match
    for pattern in (
        r"()<W>(?:<STRING><W>(?::<W>)?+)?+",
        r"(<MEMBERS>)<W>(?:,<W>(?:<STRING><W>(?::<W>(?:<SCALAR><W>)?+)?+)?+)?+",
        r"()<W>",
        r"(<ELEMENTS>)<W>(?:,<W>(?:<SCALAR><W>)?+)?+",
    )
)
# The beginning of a token that more bytes may complete.
_UNFINISHED = _compile(r'(?:"<CHARACTERS>(?:\\(?:u[0-9a-fA-F]{0,3}+)?+)?+|[a-z]{1,4}|-?[0-9.eE+-]*+)')
_STRING = _compile(r"<STRING>")


class Window:
    """The part of a stream that is in memory. Places are offsets in the stream, not in the window."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._scratch = bytearray(READ_BYTES)
        self.held = bytearray()
        self.base = 0
        self.is_ended = False

    @property
    def end(self) -> int:
        return self.base + len(self.held)

    def grow(self) -> None:
        """Reads on, at least as much as is held already: so what is scanned again stays in proportion."""
        want = self.end + max(READ_BYTES, len(self.held))
        with memoryview(self._scratch) as scratch:
            while self.end < want and not self.is_ended:
                count = self._reader.readinto(scratch)
                self.held += scratch[:count]
                self.is_ended = not count

    def reach(self, place: int) -> None:
        while self.end < place and not self.is_ended:
            self.grow()

    def release(self, before: int) -> None:
        """Forgets what lies before a place, when that is worth the trouble."""
        if before - self.base > min(READ_BYTES, len(self.held) // 2):
            del self.held[: before - self.base]
            self.base = before

    def cut(self, start: int, end: int) -> bytes:
        return bytes(self.held[max(0, start - self.base) : max(0, end - self.base)])


class Outcome(Enum):
    CLOSED = auto()
    BROKEN = auto()
    MORE = auto()  # all right so far, but the window ends


class Walk:
    """One way through an object, from its `{`. `at` is where it closed, or where to go on from."""

    def __init__(self, start: int) -> None:
        self.at = start + 1
        self.valid_to = start + 1  # what lies before can be the beginning of an object
        self._state = _FIRST_MEMBER
        self._kinds = bytearray(b"{")  # of the containers that are open
        self._opened = array("q", [start])
        self._root = 0

    def is_inside(self, start: int) -> bool:
        """Whether an object that begins at `start` is open where the walk stands; then the walk becomes its own."""
        index = bisect_left(self._opened, start, lo=self._root)
        if index == len(self._opened) or self._opened[index] != start or self._kinds[index] != _OBJECT:
            return False
        self._root = index
        return True

    def advance(self, window: Window) -> Outcome:
        """Goes on to the end of the object, to what breaks it, or to the end of the window."""
        kinds, opened, state, root = self._kinds, self._opened, self._state, self._root
        held, base = window.held, window.base
        at = self.at - base
        while step := _STEPS[state](held, at):
            kind = step.lastindex
            if kind == 2 and len(kinds) >= MAX_DEPTH:
                break
            at = step.end()
            if kind is None:
                state = _NEXT[kinds[-1]]
            elif kind == 2:
                opened.append(base + at - 1)
                kinds.append(held[at - 1])
                state = _FIRST[kinds[-1]]
            else:
                kinds.pop()
                opened.pop()
                if len(kinds) == root:
                    self.at = self.valid_to = base + at
                    return Outcome.CLOSED
                state = _NEXT[kinds[-1]]
        stride = _STRIDES[state](held, at)
        assert stride is not None  # each part of it may be empty
        self._state, self.at = state, base + stride.end(1)
        good = stride.end()
        if step is None and _UNFINISHED.fullmatch(held, good):
            self.valid_to = window.end
            return Outcome.MORE
        if not _STRING.match(held, good) and (unfinished := _UNFINISHED.match(held, good)):
            good = unfinished.end()
        self.valid_to = base + good
        return Outcome.BROKEN
