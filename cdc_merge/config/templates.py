"""Templates: how `match` names the wanted piece of a text, `ORDER#{order_id}#ITEM#{item_id}`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from cdc_merge.config.values import Mistake
from cdc_merge.model import Template

_PART = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<hole>[^{}]*)\}|(?P<stray>[{}])|(?P<text>[^{}]+)")
_HINT = 'write the text with a hole for the wanted piece: "ORDER#{}"'


@dataclass(frozen=True)
class WrittenTemplate:
    """A template as written: the texts around the holes, one more than there are holes, and the holes' names.

    The name of `{}` is empty; it is then the only hole.
    """

    literals: tuple[str, ...]
    holes: tuple[str, ...]

    def for_column(self, column: str) -> Template:
        """The template with the hole that the column takes: its namesake, else the only one.

        Raises Mistake if there are several and none has the column's name.
        """
        if column in self.holes:
            return Template(self.literals, self.holes.index(column))
        if len(self.holes) > 1:
            raise Mistake(
                f"none of its {len(self.holes)} holes has the name of the column",
                f"give the wanted hole the name of its column: {{{column}}}",
            )
        return Template(self.literals, 0)


def written_template(value: Any) -> WrittenTemplate:
    """Read a template; `{{` and `}}` stand for single braces."""
    if not isinstance(value, str):
        raise Mistake("must be text with a hole", 'put it in quotes: "ORDER#{}"')
    literals, holes = [""], list[str]()
    for part in _PART.finditer(value):
        if part["stray"]:
            raise Mistake(f"{value!r} has a {part['stray']} without its other", "write {{ or }} for a single brace")
        if part["hole"] is None:
            literals[-1] += part["text"] or part["brace"][0]
            continue
        if holes and not literals[-1]:
            raise Mistake(
                f"two holes of {value!r} touch, so nothing tells where the first one ends",
                "write the text that stands between them",
            )
        holes.append(part["hole"])
        literals.append("")
    if not holes:
        raise Mistake(f"{value!r} has no hole", _HINT)
    if len(holes) > 1 and "" in holes:
        raise Mistake(
            f"{value!r} has several holes, and not all have a name",
            'name each, and the wanted one as its column is: "ORDER#{order_id}#ITEM#{item_id}"',
        )
    if len(set(holes)) < len(holes):
        raise Mistake(f"{value!r} gives two holes one name", "give each hole a name of its own")
    return WrittenTemplate(tuple(literals), tuple(holes))
