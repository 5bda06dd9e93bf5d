"""Writes the change feed of an invented shop: single-table e-commerce, as Firehose would land it in S3.

The same arguments give the same records. Run it: python -m bench.ecommerce DIR --records 1000000 --keys 400000
"""

from __future__ import annotations

import argparse
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import BinaryIO, Literal, cast

from isal import igzip

TABLE = "arn:aws:dynamodb:eu-central-1:123456789012:table/ecommerce"
LABEL = "2026-01-01T00:00:00.000"
BEGIN = 1767322800  # 2026-01-02T03:00:00Z
CHANGES_PER_SECOND = 60
KSUID_EPOCH = 1_400_000_000  # https://github.com/segmentio/ksuid
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

FIRST_NAMES = (
    *("Ada", "Bruno", "Chloe", "Deniz", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaori"),
    *("Lucía", "Mateo", "Noor", "Olga", "Pavel", "Quinn", "Rosa", "Søren", "Tomas", "Uma", "Zoë"),
)
LAST_NAMES = (
    *("Abadi", "Berg", "Costa", "Dubois", "Eriksen", "Fischer", "García", "Haddad", "Ito", "Jansen"),
    *("Kowalski", "Lindqvist", "Moreau", "Novak", "O'Brien", "Petrov", "Rossi", "Schmidt", "Tanaka"),
)
STREETS = ("Main Street", "Station Road", "Mill Lane", "Hafenstraße", "Rue du Port", "Via Roma", "Park Avenue")
CITIES = (
    *(("Hamburg", "20457", "DE"), ("Lyon", "69002", "FR"), ("Turin", "10121", "IT")),
    *(
        ("Omaha", "68102", "US"),
        ("Leeds", "LS1 4AP", "GB"),
        ("Kraków", "30-001", "PL"),
    ),
)
PRODUCTS = (
    *(("Coffee grinder, burr, 40 settings", 8900), ("Notebook A5, dotted", 650), ('Desk lamp 12\\" brass', 4590)),
    *(("Rain jacket, blue, M", 11900), ("Chess set", 2995), ("USB-C cable 2 m", 899), ("Olive oil 0.75 l", 1450)),
    *(("Running socks (3 pairs)", 1299), ("Enamel mug", 1150), ("Table tennis bat", 3480), ("Wool blanket", 6400)),
)
STATUSES = ("PLACED", "SHIPPED", "DELIVERED", "CANCELLED")

# What 16 neighbouring items are; an order has two order items.
CUSTOMERS, EMAILS, ORDERS, ORDER_ITEMS = 2, 2, 4, 8
GROUP = CUSTOMERS + EMAILS + ORDERS + ORDER_ITEMS
LINES = 5  # of an order that has its items inside it

HOT_ITEMS = 0.05  # a share of the items ...
HOT_CHANGES = 0.28  # ... gets a share of the changes on top: 1 M changes of 400 k items touch 337 k
REMOVES = 0.056  # of the changes of an item that is there; REMOVE is 7 % of all, with those of e-mail items

RECORD = (
    '{"eventID":"%032x","eventName":"%s","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-central-1",'
    '"dynamodb":{"ApproximateCreationDateTime":%d,"Keys":{%s}%s,"SequenceNumber":"%d","SizeBytes":%d,'
    '"StreamViewType":"NEW_AND_OLD_IMAGES"},"eventSourceARN":"' + TABLE + "/stream/" + LABEL + '"}'
)
KEYS = '"PK":{"S":"%s"},"SK":{"S":"%s"}'
CUSTOMER = (
    ',"Type":{"S":"Customer"},"Username":{"S":"%s"},"Email address":{"S":"%s@example.com"},"Name":{"S":"%s %s"},'
    '"Addresses":{"M":{"Home":{"M":{"StreetAddress":{"S":"%d %s"},"City":{"S":"%s"},'
    '"PostalCode":{"S":"%s"},"Country":{"S":"%s"}}}}},"TotalOrders":{"N":"%d"},"TotalSpent":{"N":"%s"}'
)
ORDER = (
    ',"Type":{"S":"Order"},"Username":{"S":"%s"},"OrderId":{"S":"%s"},"CreatedAt":{"S":"%s"},"Status":{"S":"%s"},'
    '"TotalAmount":{"N":"%s"},"NumberItems":{"N":"%d"},"Address":{"S":"{\\"City\\":\\"%s\\",\\"Country\\":\\"%s\\"}"},'
    '"GSI1PK":{"S":"ORDER#%s"},"GSI1SK":{"S":"ORDER#%s"}'
)
ORDER_ITEM = (
    ',"Type":{"S":"OrderItem"},"OrderId":{"S":"%s"},"ItemId":{"S":"%s"},"Description":{"S":"%s"},"Price":{"N":"%s"},'
    '"Amount":{"N":"%d"},"TotalCost":{"N":"%s"},"GSI1PK":{"S":"ORDER#%s"},"GSI1SK":{"S":"ITEM#%s"}'
)
LINE = '{"M":{"Sku":{"S":"%s"},"Description":{"S":"%s"},"Price":{"N":"%s"},"Amount":{"N":"%d"},"TotalCost":{"N":"%s"}}}'
MOMENT = re.compile(rb'"ApproximateCreationDateTime":(\d+)')


def ksuid(seconds: int, payload: int) -> str:
    """An id that begins with its time: 32 bits of seconds, 128 of `payload`, in 27 characters of base 62."""
    number = (seconds - KSUID_EPOCH << 128) | payload
    digits = []
    for _ in range(27):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))


def money(cents: int) -> str:
    """An amount as DynamoDB keeps it: without trailing zeros."""
    text = f"{cents // 100}.{cents % 100:02d}"
    return text.rstrip("0").rstrip(".")


class Shop:
    """The items by number. An item's key and each version of its image follow from the number alone.

    `customers_before`: those of other shops, so that several make one table without a key in common.
    """

    def __init__(self, items: int, seed: int, *, customers_before: int = 0) -> None:
        rng = Random(seed)
        self._salt = rng.getrandbits(32)
        groups = items // GROUP + 1
        self._usernames = [
            f"{FIRST_NAMES[n % 22][:3]}{LAST_NAMES[n % 19]}{n}".lower().replace("'", "")
            for n in range(customers_before, customers_before + groups * CUSTOMERS)
        ]
        self._created = [BEGIN - rng.randrange(40 * 86400) for _ in range(groups * ORDERS)]
        self._orders = [ksuid(at, rng.getrandbits(128)) for at in self._created]

    def item(self, number: int, version: int) -> tuple[str, str]:
        """The key and the rest of the image, as the insides of JSON objects."""
        group, place = divmod(number, GROUP)
        bits = self._bits(number, version)
        if place < CUSTOMERS:
            return self._customer(group * CUSTOMERS + place, version, bits)
        place -= CUSTOMERS
        if place < EMAILS:
            key = f"CUSTOMEREMAIL#{self._usernames[group * EMAILS + place]}@example.com"
            return KEYS % (key, key), ""
        place -= EMAILS
        if place < ORDERS:
            return self._order(group * ORDERS + place, version, bits)
        return self._order_item(group * ORDER_ITEMS + place - ORDERS, bits)

    def _bits(self, number: int, version: int) -> int:
        bits = (number * 2654435761 + version * 40503 + self._salt) & 0xFFFFFFFF
        return ((bits >> 15 ^ bits) * 0x2C1B3C6D & 0xFFFFFFFF) ^ bits >> 12

    def _customer(self, number: int, version: int, bits: int) -> tuple[str, str]:
        username = self._usernames[number]
        city, code, country = CITIES[bits % 6]
        key = "CUSTOMER#" + username
        return KEYS % (key, key), CUSTOMER % (
            *(username, username, FIRST_NAMES[number % 22], LAST_NAMES[number % 19]),
            *(bits % 90 + 1, STREETS[bits % 7], city, code, country),
            *(version, money(version * 3000 + bits % 9999)),
        )

    def _order(self, number: int, version: int, bits: int) -> tuple[str, str]:
        username, order = self._usernames[number // 2], self._orders[number]
        city, _, country = CITIES[number % 6]
        created = datetime.fromtimestamp(self._created[number], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return KEYS % ("CUSTOMER#" + username, "#ORDER#" + order), ORDER % (
            *(username, order, created, STATUSES[(version - 1) % 4]),
            *(money(bits % 50000 + 500), bits % 5 + 1, city, country, order, order),
        )

    def _order_item(self, number: int, bits: int) -> tuple[str, str]:
        order, item = self._orders[number // 2], f"{number * 7919 % 100000:05d}"
        description, price = PRODUCTS[number % len(PRODUCTS)]
        amount = bits % 4 + 1
        key = f"ORDER#{order}#ITEM#{item}"
        return KEYS % (key, key), ORDER_ITEM % (
            *(order, item, description, money(price), amount, money(price * amount), order, item),
        )


class OrderBook(Shop):
    """Orders only, each with its items in a list inside it."""

    def __init__(self, items: int, seed: int) -> None:
        super().__init__(items * GROUP // ORDERS, seed)

    def item(self, number: int, version: int) -> tuple[str, str]:
        """As in Shop."""
        key, rest = self._order(number, version, self._bits(number, version))
        lines = ",".join(self._line(number * LINES + n, version) for n in range(LINES))
        return key, f'{rest},"Items":{{"L":[{lines}]}}'

    def _line(self, number: int, version: int) -> str:
        description, price = PRODUCTS[number % len(PRODUCTS)]
        amount = self._bits(number, version) % 4 + 1
        return LINE % (f"{number * 7919 % 100000:05d}", description, money(price), amount, money(price * amount))


def generate(items: int, changes: int, seed: int = 1, *, kind: Callable[[int, int], Shop] = Shop) -> Iterator[bytes]:
    """`changes` Streams records of at most `items` items, in order, as compact JSON without line ends.

    Sequence numbers grow with gaps, and from 21 to 22 digits half-way. 7 % are REMOVE; a removed item may come
    again. The view type is NEW_AND_OLD_IMAGES.
    """
    shop, rng = kind(items, seed), Random(seed + 1)
    random, bits = rng.random, rng.getrandbits
    versions = [0] * items  # of the image that is there; negative: removed at that version
    hot = max(1, int(items * HOT_ITEMS))
    sequence = 10**21 - changes * 25_000 // 2
    for n in range(changes):
        # Hot items are spread over all entities: a stride through the whole range.
        number = int(random() * hot) * (items // hot) if random() < HOT_CHANGES else int(random() * items)
        version = versions[number]
        key, rest = shop.item(number, abs(version) + 1)
        new = f',"NewImage":{{{key}{rest}}}'
        if version <= 0:
            name, images, version = "INSERT", new, 1 - version
        else:
            old = f',"OldImage":{{{key}{shop.item(number, version)[1]}}}'
            # An e-mail item has nothing to modify: it goes when the customer takes another address.
            if random() < REMOVES or not rest:
                name, images, version = "REMOVE", old, -version
            else:
                name, images, version = "MODIFY", new + old, version + 1
        versions[number] = version
        sequence += 1 + bits(14) * 3
        size = len(images) * 2 // 3
        record = RECORD % (bits(128), name, BEGIN + n // CHANGES_PER_SECOND, key, images, sequence, size)
        yield record.encode()


def write_objects(
    directory: Path,
    records: Iterable[bytes],
    *,
    total: int,
    objects: int,
    codec: Literal["gzip", "none"] = "gzip",
    framing: Literal["ndjson", "concatenated"] = "ndjson",
    stream: str = "ecommerce",
) -> list[Path]:
    """Cut `total` records into objects of equal count below hour folders, named as Firehose names them.

    A name is of the time of the object's first record: <yyyy/MM/dd/HH>/<stream>-1-<time>-<uuid><extension>.
    https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html
    """
    records = iter(records)
    written = []
    for n in range(objects):
        count = total * (n + 1) // objects - total * n // objects
        pieces = _joined(islice(records, count), b"\n" if framing == "ndjson" else b"")
        first = next(pieces, None)
        if first is None:
            break
        moment = MOMENT.search(first)
        at = datetime.fromtimestamp(int(moment[1]) if moment else BEGIN, UTC)
        name = f"{stream}-1-{at:%Y-%m-%d-%H-%M-%S}-{uuid.uuid5(uuid.NAMESPACE_OID, f'{stream} {n} {at}')}"
        path = directory / f"{at:%Y/%m/%d/%H}" / (name + (".gz" if codec == "gzip" else ""))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file, _compressed(file, codec) as sink:
            sink.write(first)
            for piece in pieces:
                sink.write(piece)
        written.append(path)
    return written


def _joined(records: Iterator[bytes], delimiter: bytes) -> Iterator[bytes]:
    while some := list(islice(records, 1000)):
        yield delimiter.join(some) + delimiter


def _compressed(file: BinaryIO, codec: str) -> BinaryIO:
    if codec == "none":
        return file
    return cast(BinaryIO, igzip.IGzipFile(filename="", mode="wb", fileobj=file, compresslevel=2, mtime=0))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.ecommerce", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument(
        "--keys", type=int, default=400_000, help="items to draw from; about 84 %% of them get a change"
    )
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--codec", choices=["gzip", "none"], default="gzip")
    parser.add_argument("--framing", choices=["ndjson", "concatenated"], default="ndjson")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    paths = write_objects(
        arguments.directory,
        generate(arguments.keys, arguments.records, arguments.seed),
        total=arguments.records,
        objects=arguments.objects,
        codec=arguments.codec,
        framing=arguments.framing,
    )
    size = sum(path.stat().st_size for path in paths)
    print(
        f"{arguments.records} records, {len(paths)} objects, {size / 1e6:.1f} MB in {time.perf_counter() - begun:.1f} s"
    )


if __name__ == "__main__":
    main()
