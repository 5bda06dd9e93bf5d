"""Bytes to JSON records: a fast guess at where they end, and an exact scanner for objects where the guess fails."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from cdc_merge.feed.compression import Reader
from cdc_merge.feed.heads import (
    ANY_START,
    ENVELOPE,
    ENVELOPE_LENGTH,
    EVENT_SEAM,
    HEAD_LENGTH,
    RECORD_START,
    SEAM_LENGTH,
)
from cdc_merge.feed.jsonwalk import Outcome, Walk, Window
from cdc_merge.native.framing import ends as native_ends

MAX_RECORD = 16 * 2**20  # bytes; Firehose takes 1,000 KiB: https://docs.aws.amazon.com/firehose/latest/dev/limits.html
KEPT_OF_TOO_LONG = 64 * 2**10

Offsets = npt.NDArray[np.int64]

# --- the guess -------------------------------------------------------------------------------------------

_BLOCK = 2**20  # with its scratch this stays in the processor's cache, and no page is faulted in twice
_BLANK_LENGTH = 4
_NEWLINE, _OPEN, _CLOSE = ord("\n"), ord("{"), ord("}")
_IS_SPACE = np.zeros(256, dtype=np.bool_)
_IS_SPACE[list(b" \t\r\n")] = True


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.ends = np.empty(_BLOCK, dtype=np.bool_)
        self.closes = np.empty(_BLOCK, dtype=np.bool_)
        self.opens = np.empty(_BLOCK, dtype=np.bool_)


_scratch = _Scratch()


def split(buffer: npt.NDArray[np.uint8]) -> Offsets:
    """Where pieces end, exclusive: after every newline, and between every `}` and a `{` that touch.

    A guess, for a JSON parser to check: records printed over many lines fall to pieces, and so does `}{`
    in a string. What follows the last end is no piece yet. Firehose puts nothing between records unless told
    to: https://docs.aws.amazon.com/firehose/latest/dev/basic-deliver.html
    """
    if (ends := native_ends(buffer, seams=True)) is not None:
        return ends
    found = [np.empty(0, dtype=np.int64)]
    for first in range(0, len(buffer), _BLOCK):
        block = buffer[first : first + _BLOCK]
        after = buffer[first + 1 : first + _BLOCK + 1]
        size = len(after)  # one less than the block at the end of the buffer
        ends = np.equal(block, _NEWLINE, out=_scratch.ends[: len(block)])
        closes = np.equal(block[:size], _CLOSE, out=_scratch.closes[:size])
        closes &= np.equal(after, _OPEN, out=_scratch.opens[:size])
        ends[:size] |= closes
        places = np.flatnonzero(ends)
        places += first + 1
        found.append(places)
    return np.concatenate(found)


def split_lines(buffer: npt.NDArray[np.uint8]) -> Offsets:
    """Where lines end, exclusive: after every newline. For files that promise one document a line."""
    if (ends := native_ends(buffer, seams=False)) is not None:
        return ends
    found = [np.empty(0, dtype=np.int64)]
    for first in range(0, len(buffer), _BLOCK):
        block = buffer[first : first + _BLOCK]
        found.append(np.flatnonzero(np.equal(block, _NEWLINE, out=_scratch.ends[: len(block)])) + first + 1)
    return np.concatenate(found)


def is_blank(buffer: npt.NDArray[np.uint8], starts: Offsets, ends: Offsets) -> npt.NDArray[np.bool_]:
    """Which pieces are white space only. Looks at pieces of up to four bytes; longer ones are no blanks here."""
    blank = np.zeros(len(starts), dtype=np.bool_)
    short = np.flatnonzero(ends - starts <= _BLANK_LENGTH)
    if not len(short):
        return blank
    is_space = np.ones(len(short), dtype=np.bool_)
    for step in range(_BLANK_LENGTH):
        places = starts[short] + step
        inside = places < ends[short]
        is_space[inside] &= _IS_SPACE[buffer[places[inside]]]
    blank[short] = is_space
    return blank


# --- the exact scanner -----------------------------------------------------------------------------------

_SPACE = b" \t\r\n"
_SEPARATORS = re.compile(rb"[ \t\r\n,\[\]]*+")
_BOM = b"\xef\xbb\xbf"
_LEADS_TO_VALUE = b":,[{"
_FIRST_REACH = 64 * 2**10
_is_json = msgspec.json.Decoder(msgspec.Raw).decode


@dataclass(frozen=True)
class Piece:
    """Bytes of an object that belong together. `offset` counts in the uncompressed object.

    `damage` None: `data` is the text of one JSON object (at more than 1,000 levels some parsers give up on it).
    Otherwise why it is none: `not_json`; `truncated`, it never closes; `too_long`, more than MAX_RECORD, of which
    `data` has the first 64 KiB; `not_utf8`.
    """

    offset: int
    data: bytes
    damage: str | None


def scan(reader: Reader) -> Iterator[Piece]:
    """The records of one object, exactly, in bounded memory and in time linear in its size.

    Takes JSON objects with nothing, white space or commas between them, over as many lines as they like, in
    top-level arrays or in Lambda events, whose elements become pieces of their own. The pieces cover every
    byte that is not white space, `,`, `[` or `]` between records, a BOM at the start, or the frame of an event.

    Of the records around a damaged one, none is lost that begins a line, and none that begins as change records,
    export items or Lambda events do; others may end up in the damaged piece. Raises what the reader raises.
    """
    return _Scanner(reader).pieces()


class _Scanner:
    def __init__(self, reader: Reader) -> None:
        self._window = Window(reader)
        self._interrupted: Walk | None = None  # the way through a damaged record, and what is open inside it
        self._is_in_event = False
        self._reach = _FIRST_REACH  # how far to look for the end of a record before following it
        self._head: tuple[int, bytes] = (-1, b"")  # of a piece too long to be held: where it begins, and how

    def pieces(self) -> Iterator[Piece]:
        window = self._window
        window.reach(len(_BOM))
        at = len(_BOM) if window.held.startswith(_BOM) else 0
        while (at := self._skip_separators(at)) < window.end:
            if window.held[at - window.base] == _OPEN:
                end = self._guess(at)
                piece, at = self._record(at) if end is None else (self._whole(at, end), end)
            else:
                start, at = at, self._find(ANY_START, at, piece_start=at)
                if b'"' in window.cut(start, at):  # then that `{` may be one in a string
                    at = self._find(RECORD_START, at, piece_start=start)
                piece = self._damaged(start, self._without_space(start, at), "not_json")
            self._reach = 4 * (at - piece.offset) + HEAD_LENGTH
            yield piece

    def _skip_separators(self, at: int) -> int:
        """The next byte of a record, or of what is none; the end of the stream."""
        window = self._window
        last = b""
        while True:
            window.release(at)
            window.reach(at + ENVELOPE_LENGTH)
            skipped = _SEPARATORS.match(window.held, at - window.base)
            assert skipped is not None  # it may be empty
            last = skipped.group().rstrip(_SPACE)[-1:] or last
            at = window.base + skipped.end()
            if at == window.end:
                if window.is_ended:
                    return at
                continue
            window.reach(at + ENVELOPE_LENGTH)
            if event := ENVELOPE.match(window.held, at - window.base):
                self._is_in_event, last = True, b""
                at = window.base + event.end()
            elif self._is_in_event and last == b"]" and window.held[at - window.base] == _CLOSE:
                self._is_in_event, last = False, b""
                at += 1
            else:
                return at

    def _guess(self, start: int) -> int | None:
        """The end of a record that is followed by one with the same first member, or by a newline.

        Exact when it is not None: no JSON object is the beginning of another.
        """
        held, first = self._window.held, start - self._window.base
        limit = first + min(self._reach, MAX_RECORD)
        colon = held.find(b":", first, first + HEAD_LENGTH)
        following = held.find(held[first : colon + 1], first + 1, limit) if colon > 0 else -1
        for end in (following, held.find(b"\n", first, limit)):
            if end < 0:
                continue
            text = bytes(held[first:end])
            if self._is_in_event and (seam := EVENT_SEAM.search(text, max(0, len(text) - SEAM_LENGTH))):
                text = text[: seam.start()]
            text = text.rstrip(b" \t\r\n,[]")
            try:
                _is_json(text)
            except (msgspec.DecodeError, RecursionError):
                continue
            return start + len(text)
        return None

    def _record(self, start: int) -> tuple[Piece, int]:
        """The record at a `{`, or its remains; and where to go on."""
        window = self._window
        walk = self._interrupted
        if walk is None or not walk.is_inside(start):
            walk = Walk(start)
        while (outcome := walk.advance(window)) is Outcome.MORE and not window.is_ended:
            if window.end - start > MAX_RECORD:
                break
            window.grow()
        if outcome is Outcome.MORE and not window.is_ended and not self._swallowed(start, walk):
            outcome = self._walk_on(start, walk)
        if outcome is Outcome.CLOSED:
            if walk is self._interrupted:
                self._interrupted = None
            return self._whole(start, walk.at), walk.at
        if self._interrupted is None or self._interrupted.valid_to <= walk.valid_to:
            self._interrupted = walk
        resumed = self._resume(start, walk)
        end = self._without_space(start, resumed)
        return self._damaged(start, end, "truncated" if end <= walk.valid_to else "not_json"), resumed

    def _walk_on(self, start: int, walk: Walk) -> Outcome:
        """Follows a record that is too long to its end, unless one string or number of it is too long as well."""
        window = self._window
        while (outcome := walk.advance(window)) is Outcome.MORE and not window.is_ended:
            if window.end - walk.at > MAX_RECORD:
                break
            self._let_go(start, walk.at)
            window.grow()
        return outcome

    def _swallowed(self, start: int, walk: Walk) -> int | None:
        """Where another record begins inside the part of a damaged one that could be read."""
        window = self._window
        window.reach(walk.valid_to + HEAD_LENGTH)
        first = max(start + 1 - window.base, 0)
        found = RECORD_START.search(window.held, first, walk.valid_to + HEAD_LENGTH - window.base)
        return window.base + found.start() if found and window.base + found.start() <= walk.valid_to else None

    def _resume(self, start: int, walk: Walk) -> int:
        """Where the next record begins after a damaged one."""
        window, broken_at = self._window, walk.valid_to
        if (swallowed := self._swallowed(start, walk)) is not None:
            return swallowed
        # A record may have been cut off by a `{` that no known head follows.
        between = window.cut(broken_at, broken_at + HEAD_LENGTH)
        if between.lstrip(_SPACE)[:1] == b"{":
            next_start = broken_at + len(between) - len(between.lstrip(_SPACE))
            before = window.cut(next_start - HEAD_LENGTH, next_start).rstrip(_SPACE)[-1:]
            if between[:1] in (b"\n", b"\r") or before not in _LEADS_TO_VALUE:
                return next_start
        return self._find(RECORD_START, broken_at, piece_start=start)

    def _find(self, pattern: re.Pattern[bytes], at: int, *, piece_start: int) -> int:
        """Where the next record begins, or the end of the stream."""
        window = self._window
        while True:
            if found := pattern.search(window.held, at - window.base):
                return window.base + found.start(found.lastindex or 0)
            if window.is_ended:
                return window.end
            at = max(at, window.end - HEAD_LENGTH)
            if window.end - piece_start > MAX_RECORD:
                self._let_go(piece_start, at - 1)
            window.grow()

    def _let_go(self, piece_start: int, before: int) -> None:
        if self._head[0] != piece_start:
            self._head = piece_start, self._window.cut(piece_start, piece_start + KEPT_OF_TOO_LONG)
        self._window.release(before)

    def _without_space(self, start: int, end: int) -> int:
        tail = self._window.cut(max(start, end - HEAD_LENGTH), end)
        return end - len(tail) + len(tail.rstrip(_SPACE))

    def _whole(self, start: int, end: int) -> Piece:
        if end - start > MAX_RECORD:
            return self._damaged(start, end, "too_long")
        data = self._window.cut(start, end)
        return Piece(start, data, None if _is_utf8(data) else "not_utf8")

    def _damaged(self, start: int, end: int, damage: str) -> Piece:
        if end - start <= MAX_RECORD:
            return Piece(start, self._window.cut(start, end), damage)
        if self._head[0] != start:
            self._head = start, self._window.cut(start, start + KEPT_OF_TOO_LONG)
        return Piece(start, self._head[1], "too_long")


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
