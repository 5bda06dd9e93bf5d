"""A target's `where`, and what entity an item seems to be, as SQL over what was looked up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

from cdc_merge.feed.entities import NO_PREFIX, discriminator
from cdc_merge.model import Condition, Scalar, Source, Target
from cdc_merge.raw.looks import Looks, typed
from cdc_merge.raw.values import KEY_NUMBER
from cdc_merge.warehouses.dialect import Dialect

_EXACT = Context(prec=400)  # the default context would round to 28 digits


@dataclass(frozen=True)
class Question:
    """Whether something is so, and the conditions under which that cannot be told."""

    answer: str
    doubts: tuple[str, ...] = ()


def takes(target: Target, looks: Looks) -> Question:
    """Whether a target takes an image."""
    return _all([_condition(c, looks) for c in target.where])


def could_take(targets: Iterable[Target], key: Sequence[str], tags: Sequence[str], dialect: Dialect) -> str:
    """Whether a key alone shows that some target could take its item."""
    columns = {attribute: (column, tag) for attribute, column, tag in zip(key, ("s.partition_key", "s.sort_key"), tags)}  # noqa: B905
    ways = []
    for target in targets:
        on_key = [c for c in target.where if len(c.path) == 1 and c.path[0] in columns]
        parts = [f"coalesce({_on_key(c, *columns[str(c.path[0])], dialect)}, FALSE)" for c in on_key]
        ways.append(f"({' AND '.join(parts)})" if parts else "TRUE")
    return " OR ".join(ways)


def entity(source: Source, key_tags: Sequence[str], looks: Looks) -> Question:
    """What an item seems to be; of a text, though it is called an answer."""
    ways, doubts = [], list[str]()
    if path := discriminator(source.targets, source.key):
        at = typed(path)
        text, number, truth = looks.text((*at, "S")), looks.text((*at, "N")), looks.truth((*at, "BOOL"))
        ways += [text, number, f"CASE {truth} WHEN TRUE THEN 'true' WHEN FALSE THEN 'false' END"]
        doubts += [*_unsure(path, looks), *_not_plain(path, looks)]
    if key_tags[0] == "S":
        cut = "SPLIT_PART(partition_key, '#', 1) || '#'"
        ways.append(f"CASE WHEN POSITION('#' IN partition_key) > 0 THEN {cut} END")
    said = f"LEFT(coalesce({', '.join([*ways, looks.dialect.literal(NO_PREFIX)])}), 200)"
    if looks.dialect.ignores_trailing_blanks:  # such texts would be counted as one with those that lack the blank
        doubts.append(f"OCTET_LENGTH(RTRIM({said})) <> OCTET_LENGTH({said})")
    return Question(said, tuple(doubts))


def _all(questions: Sequence[Question]) -> Question:
    answer = " AND ".join(f"coalesce({q.answer}, FALSE)" for q in questions) or "TRUE"
    return Question(f"({answer})", tuple(dict.fromkeys(d for q in questions for d in q.doubts)))


def _condition(condition: Condition, looks: Looks) -> Question:
    path, at = condition.path, typed(condition.path)
    strayed = tuple(looks.strays(path))
    if condition.exists is not None:
        there = looks.is_there(at)
        return Question(there if condition.exists else f"NOT {there}", strayed)
    doubts = (*strayed, *_unsure(path, looks))
    if condition.prefix is not None:
        return Question(_begins(looks.text((*at, "S")), condition.prefix, looks.dialect), doubts)
    ways, numbers = [], False
    for wanted in condition.any_of or ():
        if isinstance(wanted, bool):
            ways.append(f"{looks.truth((*at, 'BOOL'))} = {str(wanted).upper()}")
        elif isinstance(wanted, str):
            ways.append(_is_text(looks.text((*at, "S")), wanted, looks.dialect))
        else:
            ways.append(_is_text(looks.text((*at, "N")), plain(wanted), looks.dialect))
            numbers = True
    if numbers:
        doubts = (*doubts, *_not_plain(path, looks))
    return Question("(" + " OR ".join(f"coalesce({way}, FALSE)" for way in ways) + ")", doubts)


def _on_key(condition: Condition, column: str, tag: str, dialect: Dialect) -> str:
    if condition.exists is not None:
        return f"{column} IS {'NOT ' if condition.exists else ''}NULL"
    if condition.prefix is not None:
        return _begins(column, condition.prefix, dialect) if tag == "S" else "FALSE"
    ways = ["FALSE"]
    for wanted in condition.any_of or ():
        if isinstance(wanted, str) and tag == "S":
            ways.append(_is_text(column, wanted, dialect))
        elif not isinstance(wanted, str | bool) and tag == "N":
            ways.append(_is_text(column, plain(wanted), dialect))
    return "(" + " OR ".join(ways) + ")"


def _unsure(path: tuple[str | int, ...], looks: Looks) -> list[str]:
    """The conditions under which a value is there that cannot be read as its tag says."""
    at = typed(path)
    return [
        looks.is_unsure((*at, "S"), looks.text),
        looks.is_unsure((*at, "N"), looks.text),
        looks.is_unsure((*at, "BOOL"), looks.truth),
    ]


def _not_plain(path: tuple[str | int, ...], looks: Looks) -> list[str]:
    number = looks.text((*typed(path), "N"))
    return [f"coalesce(NOT ({looks.matches(number, KEY_NUMBER)}), FALSE)"]


def _begins(value: str, prefix: str, dialect: Dialect) -> str:
    return f"POSITION({dialect.literal(prefix)} IN {value}) = 1" if prefix else f"{value} IS NOT NULL"


def _is_text(value: str, wanted: str, dialect: Dialect) -> str:
    """Equal, and of the same length: blanks at the end do not count otherwise."""
    return f"({value} = {dialect.literal(wanted)} AND OCTET_LENGTH({value}) = {len(wanted.encode())})"


def plain(wanted: Scalar) -> str:
    """A number as it is written in its one plain form."""
    return format(Decimal(str(wanted)).normalize(_EXACT), "f")


__all__ = ["Question", "could_take", "entity", "takes"]
