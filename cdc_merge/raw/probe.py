"""What a session must read out of a known document before it decodes any other: what the documentation leaves open."""

from __future__ import annotations

import json
from collections.abc import Callable

from cdc_merge.raw.looks import Looks

_TEXT = 'it\'s "a" \\ b\n\t/ä🛒 '
_NAME = 'Email "address".x'

PROBED = json.dumps(
    {"A": {"S": _TEXT}, "a": {"S": "a"}, _NAME: {"N": "12"}, "T": {"BOOL": True}, "at": 1767225600, "L": ["x", "y"]},
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
    lambda looks: f"NOT {looks.text(('a', 'S'))} = 'A' AND STRPOS({looks.text(('a', 'S'))}, 'A') = 0",
    # 4: what is not there is nothing, and what is there is counted.
    lambda looks: f"NOT {looks.is_there(('b', 'S'))} AND {looks.is_there(('A',))} AND {looks.width(())} = 6",
    # 5: kinds of values.
    lambda looks: f"{looks.truth(('T', 'BOOL'))} AND {looks.number(('at',))} = '1767225600'",
    # 6: elements, and a path that leads nowhere.
    lambda looks: f"{looks.text(('L', 1))} = 'y' AND NOT {looks.is_there(('at', 'S'))}",
    # 7: a pattern is one of the whole text, not of a line of it.
    lambda looks: "NOT ('1' || CHR(10) || 'x') ~ '^[0-9]+$' AND NOT ('x' || CHR(10) || '1') ~ '^[0-9]+$'",
)

__all__ = ["PROBED", "QUESTIONS"]
