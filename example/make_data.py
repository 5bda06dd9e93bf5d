"""Writes example/firehose, the change feed of a small shop on the morning it moves to DynamoDB, with the faults that
real feeds have, and example/exports, what DynamoDB would have exported of its table at half past nine and at eleven.

python example/make_data.py writes the same records and items each time.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT.parent))  # a script sees only its own folder

from bench.ecommerce import CITIES, FIRST_NAMES, LAST_NAMES, PRODUCTS, STREETS, TABLE, ksuid, money  # noqa: E402
from tests.support.exports import write_export  # noqa: E402

FEED = ROOT / "firehose" / "ecommerce"
EXPORTS = ROOT / "exports"
OPENING = datetime(2026, 11, 24, 8, tzinfo=UTC)
EXPORTED_AT = (OPENING + timedelta(minutes=90), OPENING + timedelta(hours=3))  # the second: after the last change
LABEL = "2026-11-01T06:30:00.000"
CUSTOMERS = 12
OLD_ORDERS = 12  # of the eleven weeks before, brought along
ORDERS = 34
CANCELLED = (14, 22, 29)
SHORTENED = 25  # the order from which a line is taken back

Record = dict[str, Any]
Item = dict[str, Any]


class Table:
    """A DynamoDB table that keeps its stream: every change of an item becomes a record."""

    def __init__(self, rng: Random) -> None:
        self.records: list[Record] = []
        self._rng = rng
        self._items: dict[tuple[str, str], Item] = {}
        self._sequence = 999_999_999_999_999_400_000  # reaches 22 digits on the way

    def get(self, pk: str, sk: str) -> Item:
        return self._items[pk, sk]

    def keys_from(self, prefix: str) -> list[tuple[str, str]]:
        return [key for key in self._items if key[0].startswith(prefix)]

    def put(self, at: datetime, item: Item) -> None:
        key = (item["PK"], item["SK"])
        old = self._items.get(key)
        if item != old:
            self._items[key] = item
            self._write(at, key, item, old)

    def remove(self, at: datetime, pk: str, sk: str) -> None:
        self._write(at, (pk, sk), None, self._items.pop((pk, sk)))

    def _write(self, at: datetime, key: tuple[str, str], new: Item | None, old: Item | None) -> None:
        self._sequence += self._rng.randrange(1, 12_000)
        change: Record = {
            "ApproximateCreationDateTime": int(at.timestamp()),
            "Keys": {"PK": {"S": key[0]}, "SK": {"S": key[1]}},
        }
        if new is not None:
            change["NewImage"] = {name: typed(value) for name, value in new.items()}
        if old is not None:
            change["OldImage"] = {name: typed(value) for name, value in old.items()}
        change |= {
            "SequenceNumber": str(self._sequence),
            "SizeBytes": len(json.dumps([new, old], default=str)),
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        }
        name = "REMOVE" if new is None else "INSERT" if old is None else "MODIFY"
        self.records.append(
            {
                "eventID": f"{self._rng.getrandbits(128):032x}",
                "eventName": name,
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "eu-central-1",
                "dynamodb": change,
                "eventSourceARN": f"{TABLE}/stream/{LABEL}",
            }
        )


def typed(value: Any) -> dict[str, Any]:
    """A value with its DynamoDB type."""
    if isinstance(value, dict):
        return {"M": {name: typed(each) for name, each in value.items()}}
    if isinstance(value, list):
        return {"L": [typed(each) for each in value]}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


@dataclass(frozen=True)
class Order:
    """What an order is made of. The app keeps its lines in the order, the website as items of their own."""

    id: str
    created_at: datetime
    lines: int
    is_of_app: bool


class Shop:
    """What customers do, as changes of the table."""

    def __init__(self, rng: Random) -> None:
        self.table = Table(rng)
        self._rng = rng

    def sign_up(self, at: datetime, number: int) -> None:
        first, last = FIRST_NAMES[number], LAST_NAMES[number]
        username = username_of(number)
        addresses = {"Home": address_of(number)}
        if number % 3 == 0:
            addresses["Business"] = address_of(number + 5)
        key = f"CUSTOMER#{username}"
        customer = {
            "PK": key,
            "SK": key,
            "Type": "Customer",
            "Username": username,
            "Email address": email_of(username),
            "Name": f"{first} {last}",
            "Addresses": addresses,
            "TotalOrders": 0,
            "TotalSpent": Decimal(0),
        }
        self.table.put(at, customer)
        self._claim(at, email_of(username))

    def order(self, at: datetime, number: int, order: Order) -> None:
        username = username_of(number)
        lines = [self._line(*product) for product in self._rng.sample(PRODUCTS, order.lines)]
        customer = self.table.get(f"CUSTOMER#{username}", f"CUSTOMER#{username}")
        total = sum((line["TotalCost"] for line in lines), Decimal(0))
        if not order.is_of_app:
            for line in lines:
                self._put_item(at, order.id, line)
        placed = {
            "PK": f"CUSTOMER#{username}",
            "SK": f"#ORDER#{order.id}",
            "Type": "Order",
            "Username": username,
            "OrderId": order.id,
            "CreatedAt": f"{order.created_at:%Y-%m-%dT%H:%M:%SZ}",
            "Status": "PLACED" if order.created_at == at else "DELIVERED",
            "TotalAmount": total,
            "NumberItems": len(lines),
            "Address": json.dumps(customer["Addresses"]["Home"], ensure_ascii=False),
            "GSI1PK": f"ORDER#{order.id}",
            "GSI1SK": f"ORDER#{order.id}",
        }
        self.table.put(at, {**placed, "Items": lines} if order.is_of_app else placed)
        totals = {"TotalOrders": customer["TotalOrders"] + 1, "TotalSpent": customer["TotalSpent"] + total}
        self.table.put(at, {**customer, **totals})

    def _line(self, description: str, cents: int) -> Item:
        amount = self._rng.choice([1, 1, 1, 2])
        return {
            "ItemId": f"{self._rng.randrange(10**5):05d}",
            "Description": description.replace("\\", ""),
            "Price": Decimal(money(cents)),
            "Amount": amount,
            "TotalCost": Decimal(money(cents * amount)),
        }

    def _put_item(self, at: datetime, order: str, line: Item) -> None:
        """A line as an item of its own: its ids are in its keys alone."""
        key = f"ORDER#{order}#ITEM#{line['ItemId']}"
        index = {"GSI1PK": f"ORDER#{order}", "GSI1SK": f"ITEM#{line['ItemId']}"}
        rest = {name: value for name, value in line.items() if name != "ItemId"}
        self.table.put(at, {"PK": key, "SK": key, "Type": "OrderItem", **rest, **index})

    def take_back_a_line(self, at: datetime, number: int, order: Order) -> None:
        username = username_of(number)
        placed = self.table.get(f"CUSTOMER#{username}", f"#ORDER#{order.id}")
        *lines, gone = placed["Items"]
        total = placed["TotalAmount"] - gone["TotalCost"]
        self.table.put(at, {**placed, "Items": lines, "NumberItems": len(lines), "TotalAmount": total})
        customer = self.table.get(f"CUSTOMER#{username}", f"CUSTOMER#{username}")
        self.table.put(at, {**customer, "TotalSpent": customer["TotalSpent"] - gone["TotalCost"]})

    def set_status(self, at: datetime, number: int, order: Order, status: str) -> None:
        item = self.table.get(f"CUSTOMER#{username_of(number)}", f"#ORDER#{order.id}")
        self.table.put(at, {**item, "Status": status})
        if status == "CANCELLED":
            for key in self.table.keys_from(f"ORDER#{order.id}#ITEM#"):
                self.table.remove(at, *key)

    def change_email(self, at: datetime, number: int, email: str) -> None:
        key = f"CUSTOMER#{username_of(number)}"
        customer = self.table.get(key, key)
        self.table.remove(at, *2 * [f"CUSTOMEREMAIL#{customer['Email address']}"])
        self._claim(at, email)
        self.table.put(at, {**customer, "Email address": email})

    def close_account(self, at: datetime, number: int) -> None:
        username = username_of(number)
        self.table.remove(at, *2 * [f"CUSTOMER#{username}"])
        self.table.remove(at, *2 * [f"CUSTOMEREMAIL#{email_of(username)}"])

    def _claim(self, at: datetime, email: str) -> None:
        """The item that keeps a second customer from taking the same address; it belongs to no table."""
        self.table.put(at, {"PK": f"CUSTOMEREMAIL#{email}", "SK": f"CUSTOMEREMAIL#{email}"})


def username_of(number: int) -> str:
    return f"{FIRST_NAMES[number]}{LAST_NAMES[number][0]}".lower()


def address_of(number: int) -> Item:
    city, code, country = CITIES[number % len(CITIES)]
    street = f"{number + 3} {STREETS[number % len(STREETS)]}"
    return {"StreetAddress": street, "City": city, "PostalCode": code, "Country": country}


def email_of(username: str) -> str:
    return f"{username}@example.com"


def morning(rng: Random) -> list[Record]:
    """The stream of three hours, in order: customers, their old orders, new ones. Customer 4 leaves in the third."""
    shop = Shop(rng)
    agenda: list[tuple[datetime, Callable[[datetime], None]]] = []
    for number in range(CUSTOMERS):
        agenda.append((OPENING + timedelta(minutes=2 * number, seconds=number), partial(shop.sign_up, number=number)))
    for n in range(ORDERS):
        number = 4 if n in (3, 19) else rng.randrange(CUSTOMERS)
        is_old = n < OLD_ORDERS
        minutes = 24 if is_old else 26 + 5 * (n - OLD_ORDERS)
        at = OPENING + timedelta(minutes=minutes, seconds=4 * n if is_old else rng.randrange(60))
        created = at - timedelta(days=76 - 6 * n, seconds=rng.randrange(86400)) if is_old else at
        lines = 3 if n == SHORTENED else rng.choice([1, 1, 2, 3])
        order = Order(ksuid(int(created.timestamp()), rng.getrandbits(128)), created, lines, is_of_app=n % 3 == 1)
        agenda.append((at, partial(shop.order, number=number, order=order)))
        if n == SHORTENED:
            at += timedelta(minutes=2)
            agenda.append((at, partial(shop.take_back_a_line, number=number, order=order)))
        steps = ["CANCELLED"] if n in CANCELLED else [] if is_old else ["SHIPPED", "DELIVERED"][: rng.randrange(3)]
        for status in steps:
            at += timedelta(minutes=rng.randrange(4, 20))
            agenda.append((at, partial(shop.set_status, number=number, order=order, status=status)))
    moved = partial(shop.change_email, number=7, email="hugo@mail.example")
    agenda.append((OPENING + timedelta(minutes=130), moved))
    agenda.append((OPENING + timedelta(minutes=150), partial(shop.close_account, number=4)))
    for at, act in sorted(agenda, key=lambda entry: entry[0]):
        act(at)
    return shop.table.records


def deliver(records: list[Record], rng: Random) -> dict[str, bytes]:
    """The objects Firehose makes of the stream, by key, not compressed yet; see the comments for their faults."""
    hours = [[r for r in records if hour_of(r) == hour] for hour in (8, 9, 10)]
    closed = f"CUSTOMER#{username_of(4)}"
    # A delivery that failed for two hours: changes of a customer who is deleted in an object that came before.
    late = [r for r in hours[0] + hours[1] if key_of(r) == (closed, closed)]
    early, middle, last = ([r for r in hour if r not in late] for hour in hours)
    first_half, second_half = middle[: len(middle) // 2], middle[len(middle) // 2 :]
    rng.shuffle(first_half)  # Firehose promises no order
    second_half = first_half[-3:] + second_half  # a producer tried again: three records come twice
    lines = [encode(r) for r in last]
    lines.insert(len(lines) // 2, lines[0][:300])  # a record that breaks off: it goes to quarantine
    newline = b"\n"
    return {
        name(8, 0, 14, ".gz"): newline.join(map(encode, early)) + newline,
        name(8, 41, 55, ".gz"): newline.join(map(encode, late)) + newline,
        # Streams from before the extension feature: gzip without a name that says so.
        name(9, 0, 37, ""): newline.join(map(encode, first_half)) + newline,
        # Without AppendDelimiterToRecord there is nothing between two records.
        name(9, 31, 2, ""): b"".join(map(encode, second_half)),
        name(10, 1, 20, ".gz"): newline.join(lines) + newline,
    }


def hour_of(record: Record) -> int:
    return datetime.fromtimestamp(record["dynamodb"]["ApproximateCreationDateTime"], UTC).hour


def key_of(record: Record) -> tuple[str, str]:
    keys = record["dynamodb"]["Keys"]
    return keys["PK"]["S"], keys["SK"]["S"]


def name(hour: int, minute: int, second: int, extension: str) -> str:
    """https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html"""
    at = OPENING.replace(hour=hour, minute=minute, second=second)
    unique = uuid.uuid5(uuid.NAMESPACE_OID, at.isoformat())
    return f"{at:%Y/%m/%d/%H}/ecommerce-1-{at:%Y-%m-%d-%H-%M-%S}-{unique}{extension}"


def encode(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def items_as_of(records: list[Record], time: datetime) -> list[Item]:
    """What the table held at a time, in DynamoDB JSON: of each key the image of its newest change until then."""
    images: dict[tuple[str, str], Item] = {}
    for record in records:
        if record["dynamodb"]["ApproximateCreationDateTime"] > time.timestamp():
            continue
        if record["eventName"] == "REMOVE":
            del images[key_of(record)]
        else:
            images[key_of(record)] = record["dynamodb"]["NewImage"]
    return list(images.values())


def write_exports(root: Path) -> list[Path]:
    """Both exports below `root`, as DynamoDB leaves them in a bucket; their folders."""
    records = morning(Random(2026))
    return [
        write_export(root, items_as_of(records, time), as_of=time, table_arn=TABLE, files=2) for time in EXPORTED_AT
    ]


def build() -> dict[str, bytes]:
    """All objects by key, not compressed."""
    rng = Random(2026)
    return deliver(morning(rng), rng)


def main() -> None:
    """The command."""
    shutil.rmtree(FEED, ignore_errors=True)
    for key, data in build().items():
        path = FEED / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data, mtime=0))
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size} bytes")  # noqa: T201
    shutil.rmtree(EXPORTS, ignore_errors=True)
    for folder in write_exports(EXPORTS):
        print(f"{folder.relative_to(ROOT)}  {sum(1 for _ in folder.rglob('*'))} files")  # noqa: T201


if __name__ == "__main__":
    main()
