"""The names of columns, histories and paths: snake_case, and the fixed rule for attributes that meet in one name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import count

from cdc_merge.model import Path

_FALLBACK = "attribute"
_DIGITS = 8


def history_table(table: str) -> str:
    """Where the history of a target's items is kept."""
    return f"{table}_history"


def snake_case(attribute: str) -> str:
    """`OrderId` order_id, `Email address` email_address, `GSI1PK` gsi1pk, `HTTPServerID` http_server_id.

    Letters (with their marks) and decimal digits of every script stay, lower-cased, in Unicode's NFC form;
    anything else becomes one underscore, none at the ends. May be empty.
    """
    text = unicodedata.normalize("NFC", attribute)
    kinds = [_kind(character) for character in text]
    parts = []
    for i, character in enumerate(text):
        if kinds[i] == "upper" and _begins_word(text, kinds, i):
            parts.append("_")
        parts.append("_" if kinds[i] == "other" else character)
    lowered = unicodedata.normalize("NFC", "".join(parts).lower())
    return "_".join(word for word in lowered.split("_") if word)


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Lu", "Lt"):
        return "upper"
    if category == "Ll":
        return "lower"
    if category == "Nd":
        return "digit"
    return "letter" if category[0] in "LM" else "other"


def _begins_word(text: str, kinds: list[str], i: int) -> bool:
    """Whether the capital at `i` begins a new word: `orderId`, `HTTPServer`, `line2Text`; not `IDs`."""
    before = kinds[i - 1] if i else "other"
    after = kinds[i + 1] if i + 1 < len(kinds) else "other"
    if before == "lower":
        return True
    plural = text[i + 1 : i + 2] == "s" and (kinds[i + 2] if i + 2 < len(kinds) else "other") in (
        "other",
        "upper",
    )
    return before in ("upper", "digit") and after == "lower" and not plural


def choose_column(attribute: str, *, taken: Mapping[str, str], reserved: frozenset[str], max_bytes: int | None) -> str:
    """The column of one new attribute: its snake_case name if that can be had, else that name with a suffix.

    `taken` (column -> attribute) is compared without regard to case, as `reserved` is. `max_bytes`: UTF-8.
    The suffix is `_` and the first 8 hex digits of the SHA-256 of the attribute, so the choice
    depends on nothing but the attribute and whether the plain name is free.
    """
    occupied = {name.lower() for name in (*taken, *reserved)}
    base = snake_case(attribute)
    if base and base not in occupied and _fits(base, max_bytes):
        return base
    return next(name for name in _suffixed(base or _FALLBACK, attribute, max_bytes) if name not in occupied)


def _fits(name: str, max_bytes: int | None) -> bool:
    return max_bytes is None or len(_bytes(name)) <= max_bytes


def _suffixed(base: str, attribute: str, max_bytes: int | None) -> Iterable[str]:
    """One name, and further ones for the freak case that somebody has given that very name to a column."""
    for attempt in count():
        seed = _bytes(attribute) + (b"\0%d" % attempt if attempt else b"")
        suffix = "_" + sha256(seed).hexdigest()[:_DIGITS]
        if max_bytes is not None:
            cut = _bytes(base)[: max_bytes - len(suffix)]
            base = cut.decode("utf-8", errors="ignore").rstrip("_")
        yield base + suffix


def _bytes(text: str) -> bytes:
    # JSON can hold half a surrogate pair as an escape; it still needs a fixed place in the order.
    return text.encode("utf-8", errors="surrogatepass")


def assign(
    attributes: Iterable[str], *, taken: Mapping[str, str], reserved: frozenset[str], max_bytes: int | None
) -> dict[str, str]:
    """The column of each attribute, the same whatever the order of `attributes`.

    `taken` maps each column that exists to the attribute it holds whole ("" if it holds something else, such
    as a part of one); an attribute that has a column keeps it. Of new attributes that meet in one name, the
    one spelled exactly like the column gets it, else the first in byte order; the others get a suffix.
    """
    owned: dict[str, str] = {}
    for column, attribute in taken.items():
        owned.setdefault(attribute, column)
    names: dict[str, str] = {}
    fresh: dict[str, list[str]] = {}
    for attribute in sorted(set(attributes), key=_bytes):
        if attribute in owned:
            names[attribute] = owned[attribute]
        else:
            fresh.setdefault(snake_case(attribute), []).append(attribute)
    winners = [base if base in rivals else rivals[0] for base, rivals in fresh.items()]
    losers = sorted({a for rivals in fresh.values() for a in rivals} - set(winners), key=_bytes)
    # Plain names first, so that a suffixed name never takes one that an attribute is spelled like.
    plain_first = sorted(winners, key=lambda a: not _can_be_plain(a, taken, reserved, max_bytes))
    occupied = dict(taken)
    for attribute in (*plain_first, *losers):
        names[attribute] = choose_column(attribute, taken=occupied, reserved=reserved, max_bytes=max_bytes)
        occupied[names[attribute]] = attribute
    return names


def _can_be_plain(attribute: str, taken: Mapping[str, str], reserved: frozenset[str], max_bytes: int | None) -> bool:
    return snake_case(attribute) == choose_column(attribute, taken=taken, reserved=reserved, max_bytes=max_bytes)


def spelled(path: Path, *, of_parent: bool = False) -> str:
    """A path as the configuration writes it: `Lines[0].Sku`; `.` is the element, or the item, as a whole.

    `of_parent`: it is one of the item around an element, `^PK`.
    """
    steps = [f"[{step}]" if isinstance(step, int) else f".{_named(step)}" for step in path]
    return ("^" if of_parent else "") + ("".join(steps).removeprefix(".") or ".")


def _named(step: str) -> str:
    is_plain = step and not set(step) & set('."[]') and not step.startswith("^")
    return step if is_plain else '"' + step.replace('"', '""') + '"'
