"""What a statement looks up in raw records: each value once, under a short name that the layers above it use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cdc_merge.feed.shape import NEW_IMAGE
from cdc_merge.model import Path
from cdc_merge.render import Sql
from cdc_merge.warehouses.dialect import Dialect

Steps = tuple[str | int, ...]
"""A way into a JSON document: members by name, elements by place."""

MOST_TEXT = 65_535
"""Bytes that a text may have as JSON: what it is itself then surely fits VARCHAR(65535)."""

# The characters that JSON writes with a backslash before them. No literal may have one (redshift_dialect.py).
_ESCAPED = "'\"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13)"


@dataclass(frozen=True)
class Look:
    """A column of a layer: its name and the expression of its value."""

    name: Sql
    value: Sql


def typed(path: Path) -> Steps:
    """The steps, in an image, to the typed value of a path: maps are entered by M, lists by L."""
    if not path:
        return ()
    first, *rest = path
    steps: list[str | int] = [first]
    for step in rest:
        steps += ["L", step] if isinstance(step, int) else ["M", step]
    return tuple(steps)


def containers(path: Path) -> list[tuple[Steps, str]]:
    """What is entered on the way to a typed value, each with the kind of JSON value that it must be."""
    found: list[tuple[Steps, str]] = []
    for place, step in enumerate(path[1:], start=1):
        way = typed(path[:place])
        found.append(((*way, "L"), "array") if isinstance(step, int) else ((*way, "M"), "object"))
    return found


def is_spellable(step: str, dialect: Dialect) -> bool:
    """Whether a member can be named in a path: what is no identifier of the engine may not be."""
    most = dialect.max_identifier_bytes or MOST_TEXT
    return 0 < len(step.encode()) <= most and "\0" not in step and step.lower() not in dialect.reserved_columns


@dataclass
class Looks:
    """Looks into one SUPER column, `root` (`s.image`). `first`: taken from it; `whole`: the texts that are all there.

    https://docs.aws.amazon.com/redshift/latest/dg/query-super.html
    """

    root: str
    dialect: Dialect
    first: list[Look] = field(default_factory=list)
    whole: list[Look] = field(default_factory=list)
    _numbers: dict[Steps, int] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def text(self, steps: Steps) -> str:
        """A text; NULL if there is another kind of value, none, or one that is not in the column byte for byte.

        A cast could cut a text off, or drop U+0000 from it. Then it has not the bytes that its JSON accounts for: two
        quotes, and a backslash for each character that needs one.
        """
        number = self._size(steps)
        value = self.navigation(steps)
        cast = (
            f"CASE WHEN JSON_TYPEOF({value}) = 'string' AND JSON_SIZE({value}) <= {MOST_TEXT} "
            f"THEN CAST({value} AS VARCHAR({MOST_TEXT})) END"
        )
        self._take(self.first, f"v{number}", cast)
        bare = f"OCTET_LENGTH(TRANSLATE(v{number}, 'a' || {_ESCAPED}, 'a'))"
        whole = f"CASE WHEN z{number} = 2 + 2 * OCTET_LENGTH(v{number}) - {bare} THEN v{number} END"
        return self._take(self.whole, f"w{number}", whole)

    def truth(self, steps: Steps) -> str:
        """A boolean; NULL if it is none."""
        value = self.navigation(steps)
        cast = f"CASE WHEN JSON_TYPEOF({value}) = 'boolean' THEN CAST({value} AS BOOLEAN) END"
        return self._take(self.first, f"b{self._number(steps)}", cast)

    def number(self, steps: Steps) -> str:
        """The digits of a JSON number, as text; NULL if it is none, or long."""
        value = self.navigation(steps)
        digits = (
            f"CASE WHEN JSON_TYPEOF({value}) = 'number' AND JSON_SIZE({value}) <= 40 THEN JSON_SERIALIZE({value}) END"
        )
        return self._take(self.first, f"d{self._number(steps)}", digits)

    def document(self, steps: Steps) -> str:
        """A value of any kind, as JSON text; NULL if it is too long for text."""
        value = self.navigation(steps)
        text = f"CASE WHEN JSON_SIZE({value}) <= {MOST_TEXT} THEN JSON_SERIALIZE({value}) END"
        self._size(steps)
        return self._take(self.first, f"j{self._number(steps)}", text)

    def width(self, steps: Steps) -> str:
        """How many members an object has; NULL if it is none."""
        value = self.navigation(steps)
        count = f"CASE WHEN JSON_TYPEOF({value}) = 'object' THEN GET_NUMBER_ATTRIBUTES({value}) END"
        return self._take(self.first, f"m{self._number(steps)}", count)

    def kind(self, steps: Steps) -> str:
        """The kind of JSON value; NULL or 'null' if there is none."""
        return self._take(self.first, f"k{self._number(steps)}", f"JSON_TYPEOF({self.navigation(steps)})")

    def size(self, steps: Steps) -> str:
        """The bytes of a value as JSON."""
        return f"z{self._size(steps)}"

    def is_there(self, steps: Steps) -> str:
        """Whether there is a value other than JSON's null."""
        return f"coalesce({self.kind(steps)} <> 'null', FALSE)"

    def is_null(self, steps: Steps) -> str:
        """Whether a typed value is DynamoDB's NULL."""
        return f"coalesce({self.truth((*steps, 'NULL'))}, FALSE)"

    def is_unsure(self, steps: Steps, read: Callable[[Steps], str]) -> str:
        """Whether there is a value that cannot be read as it should be."""
        return f"({self.is_there(steps)} AND {read(steps)} IS NULL)"

    def navigation(self, steps: Steps) -> str:
        """The value itself. Names are quoted, and the session keeps their case."""
        return self.root + "".join(
            f"[{step}]" if isinstance(step, int) else "." + self.dialect.quote(step) for step in steps
        )

    def _size(self, steps: Steps) -> int:
        number = self._number(steps)
        self._take(self.first, f"z{number}", f"JSON_SIZE({self.navigation(steps)})")
        return number

    def _number(self, steps: Steps) -> int:
        return self._numbers.setdefault(steps, len(self._numbers))

    def _take(self, layer: list[Look], name: str, value: str) -> str:
        if name not in self._taken:
            self._taken.add(name)
            layer.append(Look(Sql(name), Sql(value)))
        return name


IMAGE: Steps = tuple(NEW_IMAGE.strip("/").split("/"))

__all__ = ["IMAGE", "MOST_TEXT", "Look", "Looks", "Steps", "containers", "is_spellable", "typed"]
