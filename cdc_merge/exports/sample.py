"""Reads single items of a table as they are now, for comparing a sample of keys with the warehouse."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from cdc_merge.errors import StoreUnavailable
from cdc_merge.exports.dynamodb import Item, open_client, reacting

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CanonicalKey = tuple[tuple[str, str, str], ...]
"""Attribute, type and value of each key attribute, by attribute: numbers normalised, binary in base64."""

# 100 items and 16 MB a call; what was not read for want of room or capacity comes back as UnprocessedKeys
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_KEYS_A_CALL = 100
_FRUITLESS_CALLS = 8  # that bring nothing, in a row, before we give up
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_EXACT = Context(prec=40)  # DynamoDB's numbers have 38 digits


def sample_items(
    table: str,
    keys: Sequence[Item],
    *,
    client: DynamoDBClient | None = None,
    wait: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> dict[CanonicalKey, Item]:
    """The items with these keys, read consistently, by canonical key; a key without an item is absent.

    A key is typed, as `{"PK": {"S": "a"}, "SK": {"B": b"..."}}`. `wait(seconds)` is called before keys are
    asked for again, and may raise to stop; `jitter` gives 0 to 1. Raises StoreDenied and StoreUnavailable.
    """
    pending = {canonical_key(key): key for key in keys}  # the same key twice in a call is an error
    found: dict[CanonicalKey, Item] = {}
    if not pending:
        return found
    client = client or open_client(table)
    names = keys[0].keys()
    fruitless = 0
    while pending:
        asked = dict(islice(pending.items(), _KEYS_A_CALL))
        items, unread = _batch_get(table, list(asked.values()), client)
        found |= {canonical_key({name: item[name] for name in names}): item for item in items}
        left = {canonical_key(key) for key in unread}
        for key in asked.keys() - left:
            del pending[key]
        fruitless = 0 if len(left) < len(asked) else fruitless + 1
        if fruitless == _FRUITLESS_CALLS:
            raise StoreUnavailable(
                f"DynamoDB did not read {len(left)} keys, asked {fruitless} times",
                where=f"DynamoDB table {table}",
                hint="read fewer keys an hour, or raise the table's read capacity",
            )
        if left:
            wait(jitter() * min(_FIRST_PAUSE_SECONDS * 2**fruitless, _LONGEST_PAUSE_SECONDS))
    return found


def canonical_key(key: Item) -> CanonicalKey:
    """One form for all ways to write a key. Numbers are equal as numbers, whatever their digits look like."""
    return tuple(sorted((name, *_canonical(value)) for name, value in key.items()))


def _canonical(value: dict[str, Any]) -> tuple[str, str]:
    ((kind, plain),) = value.items()
    match kind:
        case "N":
            number = Decimal(plain).normalize(_EXACT)
            return kind, str(number) if number else "0"  # not "-0"
        case "B":
            return kind, base64.b64encode(plain).decode()
        case _:
            return kind, plain


def _batch_get(table: str, keys: list[Item], client: DynamoDBClient) -> tuple[Iterable[Item], Iterable[Item]]:
    """One call: the items there are, and the keys that were not looked for."""
    with reacting(table):
        reply: Any = client.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
    items = [item for found in reply["Responses"].values() for item in found]
    unread = [key for request in reply.get("UnprocessedKeys", {}).values() for key in request["Keys"]]
    return items, unread
