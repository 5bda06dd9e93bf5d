"""What a statement looks up in raw records: each value once, under a short name that the layers above it use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cdc_merge.feed.shape import NEW_IMAGE
from cdc_merge.model import Kind, Path
from cdc_merge.raw.words import Words, words_of
from cdc_merge.render import Sql
from cdc_merge.warehouses.dialect import Dialect

Steps = tuple[str | int, ...]
"""A way into a JSON document: members by name, elements by place."""

_MOST_NAME = 65_535  # bytes of an attribute's name
_MOST_NUMBER = 40  # bytes


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


def is_spellable(step: str, dialect: Dialect) -> bool:
    """Whether a member can be named in a path: what is no identifier of the engine may not be."""
    most = dialect.max_identifier_bytes or _MOST_NAME
    return 0 < len(step.encode()) <= most and "\0" not in step and step.lower() not in dialect.reserved_columns


@dataclass
class Looks:
    """Looks into one document, `root` (`s.image`). `first`: taken from it; `whole`: the texts that are all there."""

    root: str
    dialect: Dialect
    first: list[Look] = field(default_factory=list)
    whole: list[Look] = field(default_factory=list)
    _numbers: dict[Steps, int] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    @property
    def words(self) -> Words:
        return words_of(self.dialect)

    def text(self, steps: Steps) -> str:
        """A text; NULL if there is another kind of value, none, or one that is not in the column byte for byte."""
        words, value, number = self.words, self.navigation(steps), self._number(steps)
        name, measure = words.measure
        measured = self._take(self.first, f"{name}{number}", measure.format(value=value))
        cast = self._if(value, words.kinds.string, words.text, most=self._most_text)
        text = self._take(self.first, f"v{number}", cast)
        is_whole = words.is_whole.format(text=text, measure=measured)
        return self._take(self.whole, f"w{number}", f"CASE WHEN {is_whole} THEN {text} END")

    def truth(self, steps: Steps) -> str:
        """A boolean; NULL if it is none."""
        value = self.navigation(steps)
        cast = f"CAST({{value}} AS {self.dialect.types[Kind.BOOLEAN]})"
        return self._take(self.first, f"b{self._number(steps)}", self._if(value, self.words.kinds.boolean, cast))

    def number(self, steps: Steps) -> str:
        """The digits of a JSON number, as text; NULL if it is none, or long."""
        value = self.navigation(steps)
        digits = self._if(value, self.words.kinds.integer, self.words.json, most=_MOST_NUMBER)
        return self._take(self.first, f"d{self._number(steps)}", digits)

    def document(self, steps: Steps) -> str:
        """A value of any kind, as JSON text; NULL if it is too long for text."""
        value = self.navigation(steps)
        return self._take(
            self.first, f"j{self._number(steps)}", self._if(value, None, self.words.json, most=self._most_text)
        )

    def width(self, steps: Steps) -> str:
        """How many members an object has; NULL if it is none."""
        count = self._if(self.navigation(steps), self.words.kinds.object, self.words.width)
        return self._take(self.first, f"m{self._number(steps)}", count)

    def kind(self, steps: Steps) -> str:
        """The kind of JSON value (words.py); NULL or `null` if there is none."""
        return self._take(self.first, f"k{self._number(steps)}", self.words.kind.format(value=self.navigation(steps)))

    def size(self, steps: Steps) -> str:
        """The bytes of a value as JSON, where that may be too long for text."""
        assert self.words.size
        size = self.words.size.format(value=self.navigation(steps))
        return self._take(self.first, f"z{self._number(steps)}", size)

    def is_there(self, steps: Steps) -> str:
        """Whether there is a value other than JSON's null."""
        return f"coalesce({self.kind(steps)} <> '{self.words.kinds.null}', FALSE)"

    def strays(self, path: Path) -> list[str]:
        """The conditions under which a path leads through something that is no map, or no list."""
        found = []
        for place, step in enumerate(path[1:], start=1):
            tag, kind = ("L", self.words.kinds.array) if isinstance(step, int) else ("M", self.words.kinds.object)
            steps = (*typed(path[:place]), tag)
            found.append(f"({self.is_there(steps)} AND {self.kind(steps)} <> '{kind}')")
        return found

    def is_null(self, steps: Steps) -> str:
        """Whether a typed value is DynamoDB's NULL."""
        return f"coalesce({self.truth((*steps, 'NULL'))}, FALSE)"

    def is_unsure(self, steps: Steps, read: Callable[[Steps], str]) -> str:
        """Whether there is a value that cannot be read as it should be."""
        return f"({self.is_there(steps)} AND {read(steps)} IS NULL)"

    def matches(self, text: str, pattern: str) -> str:
        """Whether a text is one of a pattern, as a whole; NULL if it is."""
        return self.words.matches.format(text=text, pattern=pattern)

    def navigation(self, steps: Steps) -> str:
        """The value itself."""
        value, words, dialect = self.root, self.words, self.dialect
        for step in steps:
            if isinstance(step, int):
                value = words.element.format(value=value, place=step)
            else:
                value = words.member.format(value=value, name=dialect.quote(step), literal=dialect.literal(step))
        return value

    @property
    def _most_text(self) -> int | None:
        """Bytes that a text may have as JSON: what it is itself then surely fits a text column."""
        return self.dialect.max_text_bytes

    def _if(self, value: str, kind: str | None, taken: str, *, most: int | None = None) -> str:
        """What is taken from a value of a kind, with so many bytes at most where the engine must be asked for them."""
        conditions = [f"{self.words.kind.format(value=value)} = '{kind}'"] if kind else []
        if most is not None and self.words.size:
            conditions.append(f"{self.words.size.format(value=value)} <= {most}")
        expression = taken.format(value=value)
        return f"CASE WHEN {' AND '.join(conditions)} THEN {expression} END" if conditions else expression

    def _number(self, steps: Steps) -> int:
        return self._numbers.setdefault(steps, len(self._numbers))

    def _take(self, layer: list[Look], name: str, value: str) -> str:
        if name not in self._taken:
            self._taken.add(name)
            layer.append(Look(Sql(name), Sql(value)))
        return name


IMAGE: Steps = tuple(NEW_IMAGE.strip("/").split("/"))

__all__ = ["IMAGE", "Look", "Looks", "Steps", "is_spellable", "typed"]
