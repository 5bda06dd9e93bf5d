"""Decides which attributes are the key, and which of two is the partition key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from cdc_merge.infer.facts import KEY_TAGS, KeyCandidate

# Names that say which of the two an attribute is, without capitals and signs. The first line of each is what AWS's
# own examples use: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-general-nosql-design.html
_PARTITION = (
    *("pk", "partitionkey", "hashkey", "hash", "partition"),
    *("pkey", "p", "primarykey", "hk", "id"),
)
_SORT = (
    *("sk", "sortkey", "rangekey", "range", "sort"),
    *("skey", "s", "secondarykey", "rk"),
)
_LIKE_A_KEY = re.compile(r"(?:id|uuid|ulid|key|code|sku|number|no|slug|username|email)$")
_LIKE_A_MOMENT = re.compile(r"(?:at|time|timestamp|ts|date|day|month|version|seq|sequence|sort)$")
_ABOUT = 0.7  # of a count that is an estimate
_MOST_TRIED = 16  # attributes of which pairs are tried


@dataclass(frozen=True)
class KeyChoice:
    """The key and how it was found, in words for a comment."""

    attributes: tuple[str, ...]
    tags: tuple[str, ...]
    why: str


def order_of(candidates: Sequence[KeyCandidate]) -> KeyChoice:
    """The key of change records, whose `Keys` name its attributes but not which of two is the partition key."""
    if len(candidates) == 1:
        return _choice(candidates, "the only attribute of Keys")
    first, second = sorted(candidates, key=lambda c: c.attribute)
    if told := told_by_names((first.attribute, second.attribute)):
        return _choice((first, second) if told == first.attribute else (second, first), "told by their names")
    if first.distinct != second.distinct:
        pair = (first, second) if first.distinct < second.distinct else (second, first)
        return _choice(pair, "a guess: the partition key is the one with fewer values; swap them if it is not")
    return _choice((first, second), "a guess: nothing tells which is the partition key; swap them if it is the other")


def told_by_names(attributes: Sequence[str]) -> str | None:
    """Which of two is the partition key, where their names tell."""
    first, second = attributes
    by_name = _place(first) - _place(second)
    if not by_name:
        return None
    return first if by_name < 0 else second


def find_key(
    candidates: Sequence[KeyCandidate], *, items: int, is_unique: Callable[[Sequence[str]], bool]
) -> KeyChoice | None:
    """The key of exported items, which do not say: values that every item has and that are unique together.

    Names such as PK and SK come first, then the smallest set of one or two. `is_unique`: whether no two items have
    the same values of some attributes. None: no such set.
    """
    usable = [c for c in candidates if c.tag in KEY_TAGS]
    named = _named_pair(usable)
    if named and is_unique([c.attribute for c in named]):
        return _choice(named, "told by their names, and unique together")
    ranked = sorted(usable, key=_rank)
    for candidate in ranked:
        if candidate.distinct >= _ABOUT * items and is_unique([candidate.attribute]):
            return _choice((candidate,), "a guess: in every item, and unique; correct it if the key is another")
    for pair in combinations(ranked[:_MOST_TRIED], 2):
        if pair[0].distinct * pair[1].distinct < _ABOUT * items:
            continue
        if is_unique([c.attribute for c in pair]):
            guess = "in every item, and unique together only; correct it if the key is another"
            return _choice(order_pair(pair), f"a guess: {guess}")
    return None


def order_pair(pair: Sequence[KeyCandidate]) -> Sequence[KeyCandidate]:
    """Partition key first."""
    by_name = {c.attribute: c for c in pair}
    return [by_name[name] for name in order_of(pair).attributes]


def given_key(wanted: Sequence[str], candidates: Sequence[KeyCandidate]) -> KeyChoice | None:
    """The key somebody names; None if not every item has these attributes."""
    by_name = {c.attribute: c for c in candidates if c.tag in KEY_TAGS}
    if not all(name in by_name for name in wanted):
        return None
    return _choice([by_name[name] for name in wanted], "as asked for by --key")


def _choice(candidates: Sequence[KeyCandidate], why: str) -> KeyChoice:
    return KeyChoice(tuple(c.attribute for c in candidates), tuple(c.tag for c in candidates), why)


def _named_pair(candidates: Sequence[KeyCandidate]) -> tuple[KeyCandidate, KeyCandidate] | None:
    """The best named partition key with the best named sort key."""
    found = list(_pairs(candidates))
    return min(found, key=lambda p: (_index(_PARTITION, p[0]), _index(_SORT, p[1]), p[0].attribute)) if found else None


def _pairs(candidates: Sequence[KeyCandidate]) -> Iterator[tuple[KeyCandidate, KeyCandidate]]:
    for partition in candidates:
        for sort in candidates:
            if _bare(partition.attribute) in _PARTITION and _bare(sort.attribute) in _SORT:
                yield partition, sort


def _index(names: Sequence[str], candidate: KeyCandidate) -> int:
    return names.index(_bare(candidate.attribute))


def _bare(attribute: str) -> str:
    return re.sub(r"[^a-z0-9]", "", attribute.lower())


def _place(attribute: str) -> int:
    """Negative for names of partition keys, positive for names of sort keys."""
    bare = _bare(attribute)
    if bare in _PARTITION or bare.endswith(("partitionkey", "hashkey")):
        return -2
    if bare in _SORT or bare.endswith(("sortkey", "rangekey")) or _LIKE_A_MOMENT.search(bare):
        return 2
    return 0


def _rank(candidate: KeyCandidate) -> tuple[int, int, int, str]:
    """What is likely a key comes first: partition key names, then ids, then the rest; moments last."""
    bare = _bare(candidate.attribute)
    place = _place(candidate.attribute)
    return (place, 0 if _LIKE_A_KEY.search(bare) else 1, KEY_TAGS.index(candidate.tag), candidate.attribute)
