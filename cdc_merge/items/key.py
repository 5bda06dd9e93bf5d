"""The key of one item: from the words a person writes to the text the feed knows it by, and how to find it in bytes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from cdc_merge.errors import UsageError
from cdc_merge.feed.shape import KEY_TAGS
from cdc_merge.feed.typed import plain_number
from cdc_merge.model import Kind, Source
from cdc_merge.warehouses import Dialect

_SHORT_ESCAPES = {'"': '"', "\\": "\\\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_MOST_SPELLED = 64  # characters that a pattern looks for: more would not tell more keys apart, but slow it down
_EXPONENT = "(?:[eE][+-]?[0-9]+)?"
_SPACE = r"[ \t\r\n]*"


@dataclass(frozen=True)
class ItemKey:
    """The values of an item's key attributes.

    `forms`: for each attribute the (type tag, canonical text) pairs it may have: one, once the source's key types are
    known. The canonical text is what `partition_key` and `sort_key` hold everywhere in the project.
    """

    attributes: tuple[str, ...]
    words: tuple[str, ...]
    forms: tuple[tuple[tuple[str, str], ...], ...]

    def texts(self, tags: Sequence[str]) -> tuple[str, str]:
        """(partition key, sort key) for a source whose key has these types; the sort key may be empty."""
        found = [dict(forms)[tag] for forms, tag in zip(self.forms, tags, strict=True)]
        return found[0], found[1] if len(found) > 1 else ""

    def is_known(self, tags: Sequence[str]) -> bool:
        """Whether the words can be values of these types."""
        return all(tag in dict(forms) for forms, tag in zip(self.forms, tags, strict=True))

    def value_patterns(self) -> tuple[str, ...]:
        """For each attribute a regular expression of its value in JSON, however spelled. Others may match too.

        For bytes, and what RE2 and Python's `re` both understand; written in Latin-1, a character for a byte.
        """
        return tuple("(?:" + "|".join(_value_pattern(*form) for form in forms) + ")" for forms in self.forms)

    def attribute_patterns(self) -> tuple[str, ...]:
        """For each attribute a regular expression of its name and typed value in JSON: `"PK": {"S": "…"}`."""
        return tuple(
            "(?:"
            + "|".join(
                f'"{_spelled(name)}"{_SPACE}:{_SPACE}\\{{{_SPACE}"{tag}"{_SPACE}:{_SPACE}{_value_pattern(tag, text)}'
                for tag, text in forms
            )
            + ")"
            for name, forms in zip(self.attributes, self.forms, strict=True)
        )

    @property
    def can_be_cut(self) -> bool:
        """Whether the guess at where records end may cut the value itself in two."""
        return any("}{" in text for forms in self.forms for _, text in forms)

    def is_value(self, number: int, typed: object) -> bool | None:
        """Whether a typed value (`{"S": "…"}`) is that of the key attribute of this number; None: it is no key."""
        if not isinstance(typed, dict) or not typed:
            return None
        tag, payload = next(iter(typed.items()))
        if tag not in KEY_TAGS or payload in (None, ""):
            return None
        wanted = dict(self.forms[number]).get(tag)
        return wanted is not None and wanted in _canonical(tag, str(payload))


def parse_key(source: Source, words: Sequence[str], tags: Sequence[str] | None) -> ItemKey:
    """The key that a person wrote: S as text, N in any spelling, B in base64. `tags` None: types are not known yet.

    Raises UsageError for too few or too many values, or ones that the key's types cannot have.
    """
    if len(words) != len(source.key):
        raise UsageError(
            f"the key has {len(source.key)} attribute{'s' * (len(source.key) > 1)} ({', '.join(source.key)}), "
            f"{len(words)} value{'s' * (len(words) != 1)} given",
            where=f"source {source.name}",
            hint="give each value as one word, in that order; quote what has spaces",
        )
    forms = []
    for number, (attribute, word) in enumerate(zip(source.key, words, strict=True)):
        possible = [tags[number]] if tags else list(KEY_TAGS)
        found = tuple((tag, text) for tag in possible for text in _canonical(tag, word)[:1])
        if not found:
            what = {"S": "a text of one character or more, in UTF-8", "N": "a number", "B": "base64"}[possible[0]]
            raise UsageError(
                f"{word!r} cannot be the key attribute {attribute}, which is {what}",
                where=f"source {source.name}",
                hint="write it as DynamoDB's JSON has it",
            )
        forms.append(found)
    return ItemKey(source.key, tuple(words), tuple(forms))


def _canonical(tag: str, text: str) -> tuple[str, ...]:
    """The canonical texts a written value may stand for; B of Kinesis is base64 twice, so there may be two."""
    if tag == "S":
        try:
            text.encode()
        except UnicodeEncodeError:
            return ()
        return (text,) if text else ()
    if tag == "N":
        number = plain_number(text.strip())
        return () if number is None else (number,)
    once = _decoded(text)
    if not once:
        return ()
    try:
        twice = _decoded(once.decode("ascii"))
    except UnicodeDecodeError:
        twice = None
    return tuple(base64.b64encode(data).decode() for data in (once, twice) if data)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


# --- in bytes --------------------------------------------------------------------------------------------


def _value_pattern(tag: str, text: str) -> str:
    if tag == "N":
        return '(?:^|[": \\t\\r\\n])' + _number(text) + '(?:$|[" \\t\\r\\n,}])'
    if tag == "B":
        # The last group of four may be spelled in several ways; what is before it may not.
        once = text[:-4]
        twice = base64.b64encode(once.encode()).decode()[: len(once) // 3 * 4]
        return f'"(?:{_spelled(once)}|{_spelled(twice)})'
    return f'"{_spelled(text)}' + ('"' if len(text) <= _MOST_SPELLED else "")


def _number(text: str) -> str:
    digits = text.lstrip("-").replace(".", "").strip("0")
    zeros = f"(?:{_character('0')}|{_character('.')})"
    sign = _character("-") if text.startswith("-") else f"(?:{_character('+')}|{_character('-')})?"
    if not digits:
        return f"{sign}{zeros}+{_EXPONENT}"
    point = f"(?:{_character('.')})?"
    return f"{sign}{zeros}*{point.join(map(_character, digits))}{zeros}*{_EXPONENT}"


def _spelled(text: str) -> str:
    return "".join(map(_character, text[:_MOST_SPELLED]))


def _character(character: str) -> str:
    """All ways to write a character in a JSON string: as it is, by a short escape, by its number (RFC 8259)."""
    ways = []
    if character not in '"\\' and character >= " ":
        ways.append("".join(f"\\x{byte:02x}" for byte in character.encode()))
    if character in _SHORT_ESCAPES:
        ways.append("\\\\" + _SHORT_ESCAPES[character])
    units = character.encode("utf-16-be").hex()
    hexadecimal = [f"[{d}{d.upper()}]" if d.isalpha() else d for d in units]
    ways.append("".join("\\\\u" + "".join(hexadecimal[i : i + 4]) for i in range(0, len(hexadecimal), 4)))
    return "(?:" + "|".join(ways) + ")"


# --- in SQL ----------------------------------------------------------------------------------------------


def is_storable(dialect: Dialect, text: str) -> bool:
    """Whether a text column of the engine holds such a key, and tells it from every other."""
    return (dialect.holds_nul or "\x00" not in text) and not (dialect.ignores_trailing_blanks and text.endswith(" "))


def sql_value(dialect: Dialect, tag: str, text: str) -> str | None:
    """The value of a key column as an SQL expression; None: this engine cannot hold it, so no row has it."""
    if not is_storable(dialect, text):
        return None
    literal = dialect.literal(text)
    if tag == "B":
        return dialect.decode_base64.format(literal)
    if tag == "S":
        return literal
    if dialect.decimal_digits is not None:
        number = Decimal(text)
        scale = dialect.decimal_scale or 0
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or -exponent > scale or number.adjusted() >= dialect.decimal_digits - scale:
            return None
    return f"CAST({literal} AS {dialect.types[Kind.NUMERIC]})"
