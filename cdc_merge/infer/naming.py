"""Names for what is proposed: the source, its tables, and the columns taken out of keys."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cdc_merge.arn import table_name
from cdc_merge.exports.manifest import FOLDER
from cdc_merge.infer.entities import Entity
from cdc_merge.model import Kind
from cdc_merge.names import snake_case

# Folders that say nothing about what is in them: parts of times (2026, 24, year=2026), and these.
_TIME_FOLDER = re.compile(r"[0-9T:-]+|[a-z_]+=.*")
_USUAL_FOLDERS = frozenset(
    {
        *("data", "firehose", "changes", "cdc", "raw", "feed", "stream", "streams", "exports", "export", "lake"),
        *("dynamodb", "kinesis", "s3", FOLDER.lower()),
    }
)
_EXPORT_ID = re.compile(r"[0-9]{14}-[0-9a-f]+")
# Sort keys of the one item that stands for the partition itself.
_OF_THE_WHOLE = frozenset(
    {
        *("metadata", "meta", "profile", "info", "details", "detail", "root", "self", "main", "data", "item", "a"),
        *("header", "base", "summary", "config"),
    }
)
_LONGEST = 56  # bytes, so that a number may follow; Postgres takes 63: https://www.postgresql.org/docs/current/sql-syntax-lexical.html
_FALLBACK = "items"
_TAKE_ES = ("ss", "x", "ch", "sh", "z")


def source_name(location: str, table: str | None, tables: Mapping[str, int]) -> str:
    """A name for the source: the last folder that says something, else the DynamoDB table, else the bucket.

    `table`: the name or ARN that an export gives, which is best of all. `tables`: those that records name.
    """
    if table is not None:
        return _short(snake_case(table_name(table))) or "dynamodb"
    folders = [f for f in re.sub(r"^[a-z0-9]+://", "", location).split("/") if f]
    if not location.endswith("/") and len(folders) > 1:
        folders.pop()  # a single file
    seen = max(tables, key=lambda name: (tables[name], name), default=None)
    for place in range(len(folders) - 1, -1, -1):
        folder = folders[place]
        if _TIME_FOLDER.fullmatch(folder) or _EXPORT_ID.fullmatch(folder):
            continue
        if folder.lower() in _USUAL_FOLDERS and seen:
            return _short(snake_case(seen)) or "dynamodb"
        if folder.lower() not in _USUAL_FOLDERS and snake_case(folder):
            return _short(snake_case(folder))
    return _short(snake_case(seen or "")) or "dynamodb"


def table_names(entities: Sequence[Entity], words: Sequence[Sequence[str]], source: str) -> list[str]:
    """A table for each entity: its label, or the words in its keys, as a plural in snake_case.

    `words`: for each entity those of each key attribute (`ORDER#1#ITEM#2`: order_item), empty where it has none.
    """
    names: list[str] = []
    for entity, of_key in zip(entities, words, strict=True):
        if entity.where:
            found = [_short(plural(name)) for name in _labels(entity, of_key) if name]
        else:
            found = [_short(snake_case(source))]  # the whole table: it is named as it is
        options = [name for name in found if name and not name.startswith("cdc_")] or [_FALLBACK]
        name = next((name for name in options if name not in names), options[0])
        number = 2
        while name in names:
            name, number = f"{options[0]}_{number}", number + 1
        names.append(name)
    return names


def _labels(entity: Entity, words: Sequence[str]) -> list[str]:
    if entity.label is not None:
        return [snake_case(entity.label)]
    partition, sort = words[0], words[1] if len(words) > 1 else ""
    if not sort or sort == partition:
        return [partition]
    if sort in _OF_THE_WHOLE:
        return [partition or sort, f"{partition}_{sort}"]
    return [sort, f"{partition}_{sort}"]


def plural(word: str) -> str:
    """The plural of an English word in snake_case; words that are none already, or not English, keep quiet."""
    if not word.isascii() or not word[-1:].isalpha():
        return word
    if word.endswith(_TAKE_ES):
        return word + "es"
    if word.endswith(("s", "data", "people", "children", "info")):
        return word
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def singular(word: str) -> str:
    """What `plural` made a plural of."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(tuple(f"{end}es" for end in _TAKE_ES)):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def piece_name(literal: str, kind: Kind, number: int | None = None) -> str:
    """The column for what follows a literal of a key: `CUSTOMER#` customer_id, or customer_date where it is a date.

    `number`: where several follow it.
    """
    stem = snake_case(literal) or "key"
    if number is not None:
        return f"{stem}_{number}"
    suffix = {Kind.DATE: "date", Kind.TIMESTAMP: "time"}.get(kind, "id")
    return stem if kind is not Kind.TEXT and stem.split("_")[-1] == suffix else f"{stem}_{suffix}"


def free_name(name: str, taken: Sequence[str]) -> str:
    """The name, with a number if it is taken."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _short(name: str) -> str:
    return name.encode()[:_LONGEST].decode(errors="ignore")
