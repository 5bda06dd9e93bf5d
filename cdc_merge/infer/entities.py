"""Decides which entities share the table: by an attribute that says so, else by how their keys begin."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cdc_merge.infer.facts import Shape
from cdc_merge.model import Condition

# How common libraries and books call it, without capitals and signs: The DynamoDB Book (Type), Amplify (__typename),
# dynamodb-toolbox (entity, _et), DynamoDB OneTable (_type), ElectroDB (__edb_e__).
_NAMES = ("type", "entity", "entitytype", "et", "typename", "edbe", "itemtype", "recordtype", "kind", "objecttype")
MOST_ENTITIES = 50
# Values that hardly repeat name items, not kinds of items. Of an attribute that is named for it a few may.
_FEW = 4
_ITEMS_OF_EACH = 5
_ALONE = 0.25  # of the values, those that only one item has
_IN_MOST = 0.5  # of the items that are more than a key
# The share of the variance of what attributes items have that the groups must explain. An attribute that is
# named for it needs less evidence.
_EXPLAINS = 0.6
_NAMED_EXPLAINS = 0.25
_PREFIXES_EXPLAIN = 0.3
_ALIKE = 0.75  # groups that share so much are one entity, unless an attribute is named to tell them apart
_OF_AN_INDEX = re.compile(r"(?:gsi|lsi|index)_?\d*_?(?:pk|sk|hash|range|partition_?key|sort_?key)?_?\d*", re.IGNORECASE)

Value = tuple[str | None, ...]
"""What tells a group: the discriminator's value, or the key prefixes."""


@dataclass(frozen=True)
class Entity:
    """Items of one kind. `where`: what tells them from the others. `label`: its name in the data."""

    label: str | None
    where: tuple[Condition, ...]
    prefixes: tuple[str | None, ...]  # of the key attributes, where all its items share them
    items: int
    attributes: frozenset[str]


@dataclass(frozen=True)
class Entities:
    """Those that become tables, those that are nothing but keys, and how they are told apart, in words.

    `untold`: items that no condition tells from the others; they are left out too.
    """

    tables: tuple[Entity, ...]
    left_out: tuple[Entity, ...]
    discriminator: str | None
    why: str
    untold: int = 0


def find_entities(shapes: Sequence[Shape], key: Sequence[str], candidates: Sequence[str]) -> Entities:
    """`candidates`: attributes of type S with few values, in the order of `Shape.values`."""
    discriminator = _find_discriminator(shapes, key, candidates)
    if discriminator is not None:
        found = _by_attribute(shapes, key, candidates, discriminator)
    else:
        found = _by_prefixes(shapes, key)
    if found.tables or not shapes:
        return found
    return _one(shapes, key, "items have key attributes only")


def is_of_an_index(attribute: str) -> bool:
    """Whether the name is that of a secondary index's key, such as GSI1PK: it says nothing about the item."""
    return _OF_AN_INDEX.fullmatch(attribute) is not None


def is_named_for_kinds(attribute: str) -> bool:
    """Whether the name is one that what an item is goes by, such as Type."""
    return _bare(attribute) in _NAMES


# --- which attribute ------------------------------------------------------------------------------------


def _find_discriminator(shapes: Sequence[Shape], key: Sequence[str], candidates: Sequence[str]) -> str | None:
    best: tuple[tuple[bool, float, int], str] | None = None
    rich = [s for s in shapes if not _is_key_only(s.attributes, key)]
    whole = sum(s.items for s in rich)
    for place, attribute in enumerate(candidates):
        having = sum(s.items for s in rich if s.values[place] is not None)
        values = {s.values[place] for s in rich} - {None}
        if not whole or having < _IN_MOST * whole or len(values) > MOST_ENTITIES:
            continue
        is_named = is_named_for_kinds(attribute)
        if not _are_kinds(rich, place, is_named=is_named):
            continue
        score = _worth(rich, key, place, attribute, is_named=is_named)
        if score is None:
            continue
        rank = (is_named, round(score, 3), -_NAMES.index(_bare(attribute)) if is_named else -len(values))
        if best is None or rank > best[0]:
            best = (rank, attribute)
    return best[1] if best else None


def _are_kinds(rich: Sequence[Shape], place: int, *, is_named: bool) -> bool:
    """Whether values may name kinds of items: they are few, items share them, and none looks like an address."""
    items: Counter[str] = Counter()
    for s in rich:
        if (value := s.values[place]) is not None:
            items[value] += s.items
    if any("@" in value for value in items):
        return False
    if is_named:
        return len(items) <= max(_FEW, items.total() // 2)
    alone = sum(count == 1 for count in items.values())
    return len(items) * _ITEMS_OF_EACH <= items.total() and alone <= _ALONE * len(items)


def _worth(rich: Sequence[Shape], key: Sequence[str], place: int, attribute: str, *, is_named: bool) -> float | None:
    """How much of what attributes and prefixes items have the attribute's values explain; None: too little."""
    groups = _grouped(rich, lambda s: (s.values[place],))
    if len(groups) == 1:
        has_prefixes = any(prefix is not None for s in rich for prefix in s.prefixes)
        return 0.0 if is_named and has_prefixes else None
    profiles = [_profile(group, {*key, attribute}, with_prefixes=True) for group in groups.values()]
    if not is_named:
        told = [_profile(group, {*key, attribute}, with_prefixes=True) for v, group in groups.items() if v != (None,)]
        profiles = _merged(profiles, _overlap)
        if len(_merged(told, _overlap)) < 2:
            return None
    explained = _explained(profiles)
    return explained if explained >= (_NAMED_EXPLAINS if is_named else _EXPLAINS) else None


def _by_attribute(shapes: Sequence[Shape], key: Sequence[str], candidates: Sequence[str], name: str) -> Entities:
    place = list(candidates).index(name)
    groups = _grouped(shapes, lambda s: (s.values[place],))
    rest = groups.pop((None,), [])
    found = [
        _entity(group, key, label=str(value), where=(Condition((name,), any_of=(str(value),)),))
        for (value,), group in groups.items()
    ]
    others, untold = _rest(rest, key, name)
    tables, left_out = _divided([*found, *others], key, name)
    why = f"{name} says what an item is"
    return Entities(tables, left_out, name, why, untold)


def _rest(shapes: Sequence[Shape], key: Sequence[str], name: str) -> tuple[list[Entity], int]:
    """The items without the discriminator, by their key prefixes."""
    without = Condition((name,), exists=False)
    groups = _grouped(shapes, lambda s: s.prefixes)
    untold = 0
    found = []
    for prefixes, group in groups.items():
        where = _conditions(key, prefixes)
        if len(groups) == 1 or where:
            found.append(_entity(group, key, label=None, where=(without, *where)))
        else:
            untold += sum(s.items for s in group)
    return found, untold


# --- how keys begin -------------------------------------------------------------------------------------


def _by_prefixes(shapes: Sequence[Shape], key: Sequence[str]) -> Entities:
    groups = _grouped(shapes, lambda s: s.prefixes)
    items = sum(s.items for s in shapes)
    if len(groups) < 2 or len(groups) > min(MOST_ENTITIES, max(_FEW, items // _ITEMS_OF_EACH)):
        return _one(shapes, key, "all items look like one kind")
    profiles = [_profile(group, set(key), with_prefixes=False) for group in groups.values()]
    if len(_merged(profiles, _similarity)) < 2 or _explained(profiles) < _PREFIXES_EXPLAIN:
        return _one(shapes, key, "all items look like one kind, however their keys begin")
    found: list[Entity] = []
    untold = 0
    for prefixes, group in groups.items():
        where = _conditions(key, prefixes) or _by_presence(group, shapes, key)
        if where:
            found.append(_entity(group, key, label=None, where=where))
        else:
            untold += sum(s.items for s in group)
    tables, left_out = _divided(found, key, None)
    return Entities(tables, left_out, None, "told by how their keys begin", untold)


def _conditions(key: Sequence[str], prefixes: Value) -> tuple[Condition, ...]:
    return tuple(
        Condition((attribute,), prefix=prefix) if prefix.endswith("#") else Condition((attribute,), any_of=(prefix,))
        for attribute, prefix in zip(key, prefixes, strict=True)
        if prefix is not None
    )


def _by_presence(group: Sequence[Shape], shapes: Sequence[Shape], key: Sequence[str]) -> tuple[Condition, ...]:
    """An attribute that all of the group have and no other item has."""
    inside = frozenset.intersection(*(s.attributes for s in group)) - set(key)
    others = frozenset[str]().union(*(s.attributes for s in shapes if s not in group))
    own = sorted(inside - others - {""})  # a configuration cannot name it
    return (Condition((own[0],), exists=True),) if own else ()


def _one(shapes: Sequence[Shape], key: Sequence[str], why: str) -> Entities:
    entity = _entity(shapes, key, label=None, where=()) if shapes else Entity(None, (), (None,) * len(key), 0, _NONE)
    return Entities((entity,), (), None, why)


_NONE: frozenset[str] = frozenset()


# --- groups ---------------------------------------------------------------------------------------------


def _grouped(shapes: Iterable[Shape], by: Callable[[Shape], Value]) -> dict[Value, list[Shape]]:
    groups: dict[Value, list[Shape]] = defaultdict(list)
    for s in shapes:
        groups[by(s)].append(s)
    return dict(sorted(groups.items(), key=lambda g: tuple((v is None, v or "") for v in g[0])))


def _entity(shapes: Sequence[Shape], key: Sequence[str], *, label: str | None, where: tuple[Condition, ...]) -> Entity:
    prefixes = tuple(
        next(iter(found)) if len(found := {s.prefixes[i] for s in shapes}) == 1 else None for i in range(len(key))
    )
    attributes = frozenset[str]().union(*(s.attributes for s in shapes))
    return Entity(label, where, prefixes, sum(s.items for s in shapes), attributes)


def _divided(
    entities: Sequence[Entity], key: Sequence[str], discriminator: str | None
) -> tuple[tuple[Entity, ...], tuple[Entity, ...]]:
    """Those with something to tell, the smaller first as parents are, and those that are nothing but keys."""
    ordered = sorted(entities, key=lambda e: (e.items, e.label or "", e.where and str(e.where)))
    bare = [e for e in ordered if _is_key_only(e.attributes, [*key, *([discriminator] if discriminator else [])])]
    return tuple(e for e in ordered if e not in bare), tuple(bare)


def _is_key_only(attributes: frozenset[str], key: Sequence[str]) -> bool:
    return not any(not is_of_an_index(a) for a in attributes - set(key))


_Feature = str | tuple[int, str]


@dataclass(frozen=True)
class _Profile:
    """How many items of a group there are, and the share of them that has each feature."""

    items: int
    shares: Mapping[_Feature, float]


def _profile(group: Sequence[Shape], without: set[str], *, with_prefixes: bool) -> _Profile:
    counts: Counter[_Feature] = Counter()
    for s in group:
        for attribute in s.attributes - without:
            counts[attribute] += s.items
        if with_prefixes:
            for i, prefix in enumerate(s.prefixes):
                if prefix is not None:
                    counts[i, prefix] += s.items
    items = sum(s.items for s in group)
    return _Profile(items, {feature: count / items for feature, count in counts.items()})


def _explained(profiles: Sequence[_Profile]) -> float:
    """1 - (variance of the features inside the groups) / (their variance in all): 0 nothing, 1 everything."""
    whole = _joined(profiles)
    total = sum(p * (1 - p) for p in whole.shares.values())
    within = sum(g.items / whole.items * sum(p * (1 - p) for p in g.shares.values()) for g in profiles)
    return 1 - within / total if total > 1e-9 else 0.0


def _joined(profiles: Sequence[_Profile]) -> _Profile:
    items = sum(g.items for g in profiles)
    counts: Counter[_Feature] = Counter()
    for g in profiles:
        for feature, share in g.shares.items():
            counts[feature] += share * g.items  # type: ignore[assignment]  # a Counter of shares
    return _Profile(items, {feature: count / items for feature, count in counts.items()})


def _merged(profiles: Sequence[_Profile], alike: Callable[[_Profile, _Profile], float]) -> list[_Profile]:
    """Groups that are alike made one, again and again."""
    left = list(profiles)
    while True:
        pair = next(
            ((a, b) for i, a in enumerate(left) for b in left[i + 1 :] if alike(a, b) >= _ALIKE),
            None,
        )
        if pair is None:
            return left
        left = [g for g in left if g is not pair[0] and g is not pair[1]] + [_joined(pair)]


def _similarity(a: _Profile, b: _Profile) -> float:
    """The features both have, of those either has (Jaccard, of shares)."""
    features = a.shares.keys() | b.shares.keys()
    both = sum(min(a.shares.get(f, 0.0), b.shares.get(f, 0.0)) for f in features)
    either = sum(max(a.shares.get(f, 0.0), b.shares.get(f, 0.0)) for f in features)
    return both / either if either else 1.0


def _overlap(a: _Profile, b: _Profile) -> float:
    """The features both have, of those the one with fewer has: 1 where one only adds to the other, as a status does."""
    both = sum(min(share, b.shares.get(f, 0.0)) for f, share in a.shares.items())
    fewer = min(sum(a.shares.values()), sum(b.shares.values()))
    return both / fewer if fewer else 1.0


def _bare(attribute: str) -> str:
    return re.sub(r"[^a-z0-9]", "", attribute.lower())
