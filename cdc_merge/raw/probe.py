"""What a session must read out of a known document before it decodes any other: what the documentation leaves open."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cdc_merge.raw.looks import Looks

_TEXT = 'it\'s "a" \\ b\n\t/ä🛒 '
_NAME = 'Email "address".x'
_DIGITS = "'^[0-9]+$'"
_LITERAL = "'{}'"
_TIME = "2026-02-28T23:59:58.000120Z"
_DAY = "1970-01-02"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PROBED = json.dumps(
    {
        "A": {"S": _TEXT},
        "a": {"S": "a"},
        _NAME: {"N": "12"},
        "T": {"BOOL": True},
        "Z": None,
        "at": 1767225600,
        "L": ["x", "y"],
        "time": {"S": _TIME},
        "day": {"S": _DAY},
    },
    ensure_ascii=False,
    separators=(",", ":"),
)
"""The document, as JSON."""

QUESTIONS: tuple[Callable[[Looks], str], ...] = (
    # 1, 2: names that differ by capitals alone; quoting. A text is whole, and counts its last blank.
    lambda looks: (
        f"{looks.text(('A', 'S'))} = {looks.dialect.literal(_TEXT)} "
        f"AND OCTET_LENGTH({looks.text(('A', 'S'))}) = {len(_TEXT.encode())}"
    ),
    lambda looks: f"{looks.text(('a', 'S'))} = 'a' AND {looks.text((_NAME, 'N'))} = '12'",
    # 3: capitals count where texts are compared, and searched.
    lambda looks: f"NOT {looks.text(('a', 'S'))} = 'A' AND POSITION('A' IN {looks.text(('a', 'S'))}) = 0",
    # 4: what is not there is nothing, nor is null, and what is there is counted.
    lambda looks: (
        f"NOT {looks.is_there(('b', 'S'))} AND NOT {looks.is_there(('Z',))} AND {looks.is_there(('A',))} "
        f"AND {looks.width(())} = 9"
    ),
    # 5: kinds of values.
    lambda looks: f"{looks.truth(('T', 'BOOL'))} AND {looks.number(('at',))} = '1767225600'",
    # 6: elements, and a path that leads nowhere.
    lambda looks: f"{looks.text(('L', 1))} = 'y' AND NOT {looks.is_there(('at', 'S'))}",
    # 7: a pattern is one of the whole text, not of a line of it.
    lambda looks: " AND ".join(
        f"NOT {looks.matches(text, _DIGITS)}"
        for text in ("('1' || chr(10) || 'x')", "('x' || chr(10) || '1')", "('1' || chr(10))")
    ),
    # 8: a time that is written is the one that is counted.
    lambda looks: (
        f"{looks.words.time.format(text=looks.text(('time', 'S')))} = "
        f"{looks.words.moment.format(micros=_micros(_TIME))} "
        f"AND {looks.words.time.format(text=looks.text(('day', 'S')))} = "
        f"{looks.words.moment.format(micros=_micros(_DAY))}"
    ),
    # 9: what other texts say.
    lambda looks: (
        f"LOWER({looks.dialect.binary_as_text.format(value=looks.words.binary.format(text=_LITERAL.format('AP8Q')))}) "
        f"= '00ff10' AND {looks.words.integer.format(text=_LITERAL.format('-007'))} = -7 "
        f"AND {looks.words.double.format(text=_LITERAL.format('0.25'))} * 4 = 1 "
        f"AND {looks.words.date.format(text=_LITERAL.format('2024-12-31'))} = CAST('2024-12-31' AS DATE)"
    ),
)


def _micros(time: str) -> int:
    return (datetime.fromisoformat(time).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


__all__ = ["PROBED", "QUESTIONS"]
