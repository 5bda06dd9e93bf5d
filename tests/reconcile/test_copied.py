"""Redshift reads the DynamoDB table by itself: what lands, what is read once more, what is refused. On the double."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import boto3
import psycopg2
import pytest

from cdc_merge import Reconciler, Report
from cdc_merge.errors import Refused, UsageError
from cdc_merge.model import (
    Column,
    ColumnType,
    Condition,
    Deletes,
    Evolve,
    Kind,
    Mask,
    ReconcilePolicy,
    Source,
    Target,
    Template,
    TimeUnit,
)
from cdc_merge.reconcile import copying
from cdc_merge.reconcile.copyable import refuse_targets
from cdc_merge.reconcile.report import Method
from cdc_merge.reconcile.way import REPAIR, Way
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses import open_warehouse
from cdc_merge.warehouses.redshift import RedshiftSession
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from tests.doubles.redshift.server import BEHIND
from tests.support.commands import command_of
from tests.support.harness import Harness
from tests.support.reconciling import counts
from tests.support.records import Record, stream_record, to_item

DAY = timedelta(days=1)

TYPED = (
    Column("type", ("Type",), ColumnType(Kind.TEXT)),
    Column("name", ("Name",), ColumnType(Kind.TEXT)),
    Column("age", ("Age",), ColumnType(Kind.INTEGER)),
    Column("spent", ("Spent",), ColumnType(Kind.NUMERIC, 6, 2)),
    Column("wide", ("Wide",), ColumnType(Kind.NUMERIC)),
    Column("share", ("Share",), ColumnType(Kind.NUMERIC, 2, 2)),
    Column("ratio", ("Ratio",), ColumnType(Kind.DOUBLE)),
    Column("day", ("Day",), ColumnType(Kind.DATE)),
    Column("seen", ("Seen",), ColumnType(Kind.TIMESTAMP)),
    Column("at_ms", ("AtMs",), ColumnType(Kind.TIMESTAMP, unit=TimeUnit.MILLISECONDS)),
    Column("at_us", ("AtUs",), ColumnType(Kind.TIMESTAMP, unit=TimeUnit.MICROSECONDS)),
)
IS_CUSTOMER = (Condition(("Type",), any_of=("Customer", "Client")),)
CUSTOMERS = Target("customers", where=IS_CUSTOMER, columns=TYPED, evolve=Evolve.FREEZE)
ORDERS = Target(
    "orders",
    where=(Condition(("Type",), prefix="Ord"), Condition(("Total",), exists=True)),
    columns=(Column("total", ("Total",), ColumnType(Kind.NUMERIC)), Column("type", ("Type",), ColumnType(Kind.TEXT))),
    evolve=Evolve.FREEZE,
)
NAMES = Target(
    "customers",
    where=(Condition(("Type",), any_of=("Customer",)),),
    columns=(Column("name", ("Name",), ColumnType(Kind.TEXT)),),
    evolve=Evolve.FREEZE,
)


@dataclass
class Shop(Harness):
    """A table in DynamoDB, its feed, and a warehouse."""

    dynamodb: Any = None

    def keep(self, *items: Mapping[str, Any]) -> None:
        for item in items:
            self.dynamodb.put_item(TableName=self.source.table, Item=to_item(item))

    def delete(self, key: str) -> None:
        self.dynamodb.delete_item(TableName=self.source.table, Key=to_item({"PK": key}))

    def copied(self, way: Way = REPAIR, **options: Any) -> Report:
        with Reconciler(self.settings) as reconciler:
            return reconciler.reconcile_copied(self.source.name, way=way, **options)

    def scanned(self) -> Report:
        with Reconciler(self.settings) as reconciler:
            return reconciler.reconcile_scanned(self.source.name, rate=None)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query in the words of the Postgres behind the double."""
        with closing(open_warehouse(BEHIND[self.url])) as warehouse, warehouse.session() as session:
            return session.query(sql)

    def dump(self, table: str) -> list[tuple[Any, ...]]:
        """All of a table but when it was merged and verified, as texts."""
        names = ", ".join(
            f'CAST("{name}" AS text)'
            for name in self.columns(table)
            if name not in ("_cdc_changed_at", "_cdc_merged_at")
        )
        return sorted(self.query(f"SELECT {names} FROM {self.schema}.{table}"), key=repr)


@pytest.fixture(params=["redshift", pytest.param("redshift-data", marks=pytest.mark.redshift_data)])
def redshifts_url(request: pytest.FixtureRequest) -> str:
    """Redshift by either road."""
    url: str = request.getfixturevalue(f"{request.param.replace('-', '_')}_url")
    return url


@pytest.fixture
def make_shop(redshifts_url: str, tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Makes a table of DynamoDB and a source of it. Of what was copied nothing may stay in the end."""
    client = boto3.session.Session().client("dynamodb")

    def make(*targets: Target, key: tuple[str, ...] = ("PK",), tags: str = "SS") -> Shop:
        table = f"shop-{uuid4()}"
        client.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": a, "AttributeType": t} for a, t in zip(key, tags, strict=False)],
            KeySchema=[{"AttributeName": a, "KeyType": role} for a, role in zip(key, ("HASH", "RANGE"), strict=False)],
        )
        source = Source("shop", "", key, targets, table=table, reconcile=ReconcilePolicy(max_delete=1.0))
        return Shop(redshifts_url, source, tmp_path / table, dynamodb=client)

    yield make
    with closing(psycopg2.connect(BEHIND[redshifts_url])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relname LIKE '\\_cdc\\_%' AND relpersistence <> 't'")
        assert cursor.fetchall() == []


def beside(shop: Shop, tmp_path: Path) -> Shop:
    """The same table, and another schema of the warehouse."""
    return replace(shop, schema="beside", metadata="cdc_beside", directory=tmp_path / "beside")


def change(key: str, sequence: int, image: Mapping[str, Any] | None, *, at: datetime) -> Record:
    whole = None if image is None else {"PK": key, **image}
    return stream_record({"PK": key}, whole, sequence=sequence, at=at, arn_label=None)


@pytest.fixture
def read_by_worker(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The keys of items that the worker read itself."""
    found: list[Any] = []
    original = copying.sample_items

    def sample_items(table: str, keys: Any, **options: Any) -> Any:
        found.extend(keys)
        return original(table, keys, **options)

    monkeypatch.setattr(copying, "sample_items", sample_items)
    return found


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Each COPY from DynamoDB: of which table, where, and at how many percent."""
    found: list[dict[str, Any]] = []
    original = RedshiftSession.copy_dynamodb

    def copy_dynamodb(self: RedshiftSession, into: str, table: str, *rest: Any, **options: Any) -> int:
        found.append({"table": table, **options})
        return original(self, into, table, *rest, **options)

    monkeypatch.setattr(RedshiftSession, "copy_dynamodb", copy_dynamodb)
    return found


VALUES: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "Name": (
        *({"S": text} for text in ("Ada", "", " ", "a ", "it's \\ü😀\n\t", "\\N", "7", "null", "x" * 65_535)),
        {"N": "12.5"},
    ),
    "Age": (
        *({"N": n} for n in ("0", "-7", "12", "999999999999999999", "9223372036854775807", "9223372036854775808")),
        *({"N": n} for n in ("1.5", "123456789012345678901234567890")),
        *({"S": text} for text in ("42", "007", "x", "1\n", "+1", "")),
    ),
    "Spent": (*({"N": n} for n in ("9999.99", "-0.01", "12", "10000", "1.005")), {"S": "1.50"}, {"S": "1.5.0"}),
    "Wide": tuple(
        {"N": n}
        for n in (
            "99999999999999999999.999999999999999999",
            "100000000000000000000",
            "0.0000000000000000001",
            "-0.000000000000000001",
        )
    ),
    "Share": ({"N": "0.25"}, {"N": "1"}, {"N": "-0.99"}, {"N": "0.125"}),
    "Ratio": ({"N": "0.1"}, {"N": "-123456.789"}, {"N": "0.1234567890123456789"}, {"S": "2.50"}, {"S": "1e3"}),
    "Day": tuple(
        {"S": text}
        for text in (
            *("2024-02-29", "2023-02-29", "2000-02-29", "1900-02-29", "2026-04-31", "2026-12-31", "0987-01-01"),
            *("2026-1-1", "2026-01-01T00:00:00Z", "", "2026-01-01\n"),
        )
    ),
    "Seen": (
        *(
            {"S": text}
            for text in (
                *("2026-01-02T03:04:05Z", "2026-01-02 03:04:05.123456+05:30", "2026-01-02T03:04:05-08:00"),
                *("2026-01-02T03:04:05", "2026-01-02", "2026-01-02T03:04Z", "2026-01-02T24:00:00Z", "0987-01-02"),
                *("2026-01-02T03:04:05.1234567Z", "2026-02-30T00:00:00Z", "2026-01-02T23:59:60Z", "yesterday", ""),
                *("2026-01-02T03:04:05+0530", "2024-02-29T23:59:59.9Z", "2026-01-02T03:04:05,5Z"),
                *("9999-12-31T23:59:59-08:00", "9999-12-31T23:59:59Z", "9998-12-31T23:59:59-08:00"),
            )
        ),
        *({"N": n} for n in ("0", "1767322800", "-1", "1.5", "99999999999", "253402300800")),
    ),
    "AtMs": tuple({"N": n} for n in ("1767322800123", "0", "99999999999999", "1.5", "-86400000")),
    "AtUs": tuple({"N": n} for n in ("1767322800123456", "86399999999", "1", "99999999999999999")),
}


def test_rows_are_those_of_a_scan_whatever_the_values(
    make_shop: Callable[..., Shop], tmp_path: Path, read_by_worker: list[Any]
) -> None:
    shop = make_shop(CUSTOMERS, ORDERS)
    usual = {attribute: values[0] for attribute, values in VALUES.items()} | {"Type": {"S": "Customer"}}
    items = [{**usual, a: value} for a, values in VALUES.items() for value in values]
    items += [{name: value for name, value in usual.items() if name != a} for a in VALUES]
    random = Random(3)
    items += [{a: random.choice(values) for a, values in VALUES.items()} | {"Type": {"S": "Client"}} for _ in range(40)]
    items += [{"Type": {"S": kind}, "Total": {"N": "1"}} for kind in ("Order", "Ordx", "Ord", "ord", "", "Customer ")]
    items += [{"Type": {"S": "Order"}}, {"Type": {"S": "Order"}, "Total": {"S": ""}}, {"Total": {"N": "3"}}, {}]
    for number, item in enumerate(items):
        shop.dynamodb.put_item(TableName=shop.source.table, Item={"PK": {"S": f"k{number:03}"}, **item})
    other = beside(shop, tmp_path)

    copied, scanned = shop.copied(), other.scanned()

    assert copied.items == scanned.items == len(items)
    assert len(read_by_worker) < len(items) * 0.8
    for table in ("customers", "orders"):
        assert shop.dump(table) == other.dump(table)
        assert counts(copied, table) == counts(scanned, table)


def test_keys_that_are_numbers_or_end_in_a_blank_land_as_by_a_scan(
    make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    shop = make_shop(replace(NAMES, where=()), key=("PK", "N"), tags="SN")
    for key in ("a", "a ", " a", "b"):
        for number in (0, -1, "1.25", "12345678901234567890", "123456789012345678901", "0.0000000000000000001"):
            item = {"PK": {"S": key}, "N": {"N": str(number)}, "Name": {"S": f"{key}/{number}"}}
            shop.dynamodb.put_item(TableName=shop.source.table, Item=item)
    other = beside(shop, tmp_path)

    copied, scanned = shop.copied(), other.scanned()

    assert (copied.items, copied.unusable) == (scanned.items, scanned.unusable)
    assert set(copied.unusable) >= {"key_ends_in_blank"}
    assert shop.dump("customers") == other.dump("customers")


def test_drift_is_repaired_and_every_verdict_told(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(NAMES)
    now = datetime.now(UTC)
    shop.keep(*({"PK": key, "Type": "Customer", "Name": key} for key in ("equal", "different", "missing", "newer")))
    ada = {"Type": "Customer", "Name": "Ada"}
    shop.put_records(
        [
            change("equal", 1, {"Type": "Customer", "Name": "equal"}, at=now - DAY),
            change("different", 2, ada, at=now - DAY),
            change("extra", 3, ada, at=now - DAY),
            change("newer", 4, ada, at=now),
        ]
    )
    shop.run()

    report = shop.copied()

    assert counts(report, "customers") == (1, 1, 1, 1, 1, 3)
    assert report.method is Method.COPY
    assert report.notes == (copying.NOT_COPIED,)
    assert report.targets["customers"].columns == {"name": 1}
    assert {row[:2] for row in shop.dump("customers")} == {
        ("equal", "equal"),
        ("different", "different"),
        ("missing", "missing"),
        ("newer", "Ada"),
    }
    assert shop.query(f"SELECT DISTINCT method FROM {shop.metadata}.reconciliations") == [("copy from dynamodb",)]
    again = shop.copied()
    assert counts(again, "customers")[1:4] == (0, 0, 0)


def test_what_the_feed_brings_during_the_copy_is_not_undone_and_late_records_stay_late(
    make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make_shop(NAMES)
    now = datetime.now(UTC)
    shop.keep(*({"PK": key, "Type": "Customer", "Name": "old"} for key in ("stays", "changed", "deleted")))
    shop.put_records([change("gone", 1, None, at=now - DAY)])  # makes the tables
    shop.run()
    original = RedshiftSession.copy_dynamodb

    def copy_dynamodb(self: RedshiftSession, *arguments: Any, **options: Any) -> int:
        rows = original(self, *arguments, **options)
        shop.keep({"PK": "changed", "Type": "Customer", "Name": "new"})
        shop.delete("deleted")
        shop.put_records(
            [
                change("changed", 50, {"Type": "Customer", "Name": "new"}, at=datetime.now(UTC)),
                change("deleted", 51, None, at=datetime.now(UTC)),
            ]
        )
        shop.run()
        return rows

    monkeypatch.setattr(RedshiftSession, "copy_dynamodb", copy_dynamodb)
    report = shop.copied()
    late = [
        change(key, number, {"Type": "Customer", "Name": "late"}, at=now - DAY)
        for number, key in enumerate(("stays", "changed", "deleted", "never seen"))
    ]
    shop.put_records(late)
    totals = shop.run()

    assert report.targets["customers"].newer == 2
    assert totals.counts.stale == len(late)
    assert [row[:2] for row in shop.dump("customers")] == [("changed", "new"), ("stays", "old")]


def test_the_feed_goes_on_where_the_copy_left(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(NAMES)
    shop.keep({"PK": "a", "Type": "Customer", "Name": "Ada"}, {"PK": "b", "Type": "Customer", "Name": "Bo"})
    shop.copied()
    later = datetime.now(UTC) + timedelta(seconds=1)
    shop.put_records([change("a", 1, {"Type": "Customer", "Name": "Eve"}, at=later), change("b", 2, None, at=later)])

    assert shop.run().counts.applied == 2
    assert [row[:2] for row in shop.dump("customers")] == [("a", "Eve")]


def test_a_dry_run_finds_the_same_and_writes_nothing(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(NAMES)
    shop.put_records([change("extra", 1, {"Type": "Customer", "Name": "x"}, at=datetime.now(UTC) - DAY)])
    shop.run()
    shop.keep({"PK": "a", "Type": "Customer", "Name": "Ada"})
    before = shop.dump("customers"), written(shop)

    report = shop.copied(Way(dry_run=True))

    assert counts(report, "customers") == (0, 1, 1, 0, 0, 2)
    assert (shop.dump("customers"), written(shop)) == before


def written(shop: Shop) -> list[tuple[Any, ...]]:
    """The tables there are, and how often something was written to each, when the batch is among it.

    Sessions of the server tell of what they wrote once a second, or when they end.
    """
    deadline = monotonic() + 20
    while True:
        rows = shop.query(
            "SELECT schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables "
            f"WHERE schemaname IN ('{shop.schema}', '{shop.metadata}') AND relname <> 'leases' ORDER BY 1, 2"
        )
        if monotonic() > deadline or all(ins for _, table, ins, *_ in rows if table in ("customers", "batches")):
            return rows
        sleep(0.1)


def test_what_a_copy_cannot_tell_of_a_row_is_not_taken_from_it(
    make_shop: Callable[..., Shop], read_by_worker: list[Any]
) -> None:
    shop = make_shop(NAMES)
    rescued, empty = {"Type": "Customer", "Name": "a", "More": 7}, {"Type": "Customer", "Name": ""}
    shop.keep({"PK": "rescued", **rescued}, {"PK": "empty", **empty}, {"PK": "new", **rescued})
    shop.put_records([change(k, 1, i, at=datetime.now(UTC) - DAY) for k, i in (("rescued", rescued), ("empty", empty))])
    shop.run()
    before = shop.dump("customers")

    report = shop.copied(empty_is_missing=True)

    assert counts(report, "customers") == (2, 1, 0, 0, 0, 1)
    assert shop.dump("customers") == sorted([*before, ("new", "a", "", None)], key=repr)
    assert sorted(key["PK"]["S"] for key in read_by_worker) == ["empty", "rescued"]


def test_an_empty_text_is_told_from_a_missing_one_unless_that_is_waived(
    make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    shop = make_shop(NAMES)
    shop.keep({"PK": "empty", "Type": "Customer", "Name": ""}, {"PK": "missing", "Type": "Customer"})
    waived = beside(shop, tmp_path)

    shop.copied()
    waived.copied(empty_is_missing=True)

    assert [row[:2] for row in shop.dump("customers")] == [("empty", ""), ("missing", None)]
    assert [row[:2] for row in waived.dump("customers")] == [("empty", None), ("missing", None)]


def test_too_much_in_doubt_is_refused_with_the_reasons(
    make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.reconcile.copying.MOST_IN_DOUBT", 2)
    shop = make_shop(replace(CUSTOMERS, columns=TYPED[:3]))
    shop.keep(
        {"PK": "a", "Type": "Customer", "Age": 1},
        {"PK": "b", "Type": "Customer", "Name": "", "Age": "x"},
        {"PK": "c", "Type": "Customer", "Name": "c", "Age": "y"},
    )

    with pytest.raises(Refused) as caught:
        shop.copied()

    assert "COPY leaves 3 items in doubt" in str(caught.value)
    assert "customers.name is empty or missing (2)" in str(caught.value)
    assert "customers.age is not plainly a value of its type, integer (2)" in str(caught.value)
    assert "--empty-as-null" in (caught.value.hint or "")
    assert shop.columns("customers") == ()


def test_an_item_that_redshift_cannot_copy_refuses_the_whole(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(NAMES)
    shop.keep({"PK": "good", "Type": "Customer", "Name": "a"})
    for bad, why in (
        ({"Name": b"x"}, "unsupported type B"),
        ({"Name": True}, "unsupported type BOOL"),
        ({"Name": None}, "unsupported type NULL"),
        ({"Name": ["a"]}, "unsupported type L"),
        ({"Name": "a", "NAME": "b"}, "differ only in case"),
        ({"Name": "x" * 65_536}, "exceeds DDL length"),
    ):
        shop.keep({"PK": "bad", "Type": "Customer", **bad})

        with pytest.raises(Refused, match=why) as caught:
            shop.copied()

        assert "--scan" in (caught.value.hint or "")
    assert shop.columns("customers") == ()


def column(name: str, **options: Any) -> Target:
    return replace(NAMES, columns=(replace(NAMES.columns[0], name=name, **options),))  # type: ignore[index]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (Target("customers"), "it has no `columns`"),
        (replace(NAMES, evolve=Evolve.ADD), "evolve: add"),
        (replace(NAMES, evolve=Evolve.FAIL), "evolve: fail"),
        (Target("customers", is_document=True), "the whole item"),
        (Target("lines", each=("Lines",), columns=NAMES.columns, evolve=Evolve.FREEZE), "elements"),
        (column("city", path=("Address", "City")), "a path into a map"),
        (column("piece", template=Template(("A#", ""), 0)), "takes a piece"),
        (column("secret", mask=Mask.HASH), "it is masked"),
        (column("untyped", type=None), "it has no type yet"),
        (column("more", type=ColumnType(Kind.JSON)), "COPY loads nothing for json"),
        (column("raw", type=ColumnType(Kind.BINARY)), "COPY loads nothing for binary"),
        (column("yes", type=ColumnType(Kind.BOOLEAN)), "COPY loads nothing for boolean"),
        (column("lower", path=("type",)), "differ in case only"),
        (column("xmin_", path=("Xmin",)), "no column can be called like the attribute Xmin"),
        (column("long", path=("ä" * 64,)), "a name of more than 127 bytes"),
        (replace(NAMES, where=(Condition(("A", "B"), exists=True),)), "is a path into a map"),
        (replace(NAMES, where=(Condition(("Size",), any_of=(7,)),)), "text or a number"),
        (replace(NAMES, where=(Condition(("Size",), any_of=("7",)),)), "text or a number"),
        (replace(NAMES, where=(Condition(("Size",), any_of=(True,)),)), "text or a number"),
        (replace(NAMES, where=(Condition(("Size",), prefix="20"),)), "text or a number"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_target_that_texts_and_numbers_do_not_fill_is_refused(target: Target, why: str) -> None:
    source = Source("shop", "", ("PK",), (target,))
    book = open_book(target, source.key, REDSHIFT, None)

    with pytest.raises(UsageError) as caught:
        refuse_targets(source, [book], ("S",), REDSHIFT)

    assert why in str(caught.value)
    assert "--scan" in (caught.value.hint or "")


def test_a_refused_target_costs_no_reading_of_the_table(
    make_shop: Callable[..., Shop], commands: list[dict[str, Any]]
) -> None:
    shop = make_shop(Target("customers"))
    shop.keep({"PK": "a", "Type": "Customer", "Name": "x"})

    with pytest.raises(UsageError, match="it has no `columns`"):
        shop.copied()

    assert commands == []


def test_a_key_that_is_binary_and_a_key_that_is_another_are_refused(make_shop: Callable[..., Shop]) -> None:
    binary, other = make_shop(NAMES, tags="B"), make_shop(NAMES)
    other.source = replace(other.source, key=("Name",))

    for shop, why in ((binary, "the key PK is binary"), (other, "the table's key is")):
        with pytest.raises(UsageError, match=why):
            shop.copied()


def test_an_empty_table_and_a_rebuild_are_refused(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(NAMES)
    with pytest.raises(Refused, match="no items"):
        shop.copied()
    with pytest.raises(UsageError, match="a rebuild takes an export or a scan"):
        shop.copied(Way(rebuild=True))


def test_too_many_deletes_are_refused(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(NAMES)
    shop.source = replace(shop.source, reconcile=ReconcilePolicy(max_delete=0.05))
    shop.keep({"PK": "a", "Type": "Customer", "Name": "a"})
    gone = {"Type": "Customer", "Name": "gone"}
    shop.put_records([change(key, 1, gone, at=datetime.now(UTC) - DAY) for key in "bcd"])
    shop.run()
    before = shop.dump("customers")

    with pytest.raises(Refused, match="max_delete"):
        shop.copied()
    assert shop.dump("customers") == before


def test_the_command_tells_what_was_copied_and_exits_as_ever(
    make_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, commands: list[dict[str, Any]]
) -> None:
    shop = make_shop(NAMES)
    command = command_of(
        shop, "table: customers, where: {Type: Customer}, columns: {name: {from: Name, type: text}}, evolve: freeze"
    )
    text = command.config.read_text().replace("    key:", f"    table: {shop.source.table}\n    key:")
    command.config.write_text(text)
    command("migrate")
    shop.keep({"PK": "a", "Type": "Customer", "Name": "Ada"}, {"PK": "b", "Type": "Customer", "Name": ""})
    asked = ("reconcile", "--copy-from-dynamodb", "--read-ratio", "20")

    assert "would be its first load, of 2 rows" in command(*asked, "--dry-run", exits=4).stdout
    monkeypatch.setattr("cdc_merge.reconcile.copying.MOST_IN_DOUBT", 0)
    assert "customers.name is empty or missing (1)" in command(*asked, exits=3).stderr
    document = command.json(*asked, "--empty-as-null")

    assert commands == [{"table": shop.source.table, "region": "us-east-1", "percent": 20}] * 3
    assert (document["method"], document["items"]) == ("copy from dynamodb", 2)
    assert document["export"].startswith("copy of arn:aws:dynamodb:us-east-1:")
    assert document["targets"]["customers"]["missing"] == 2
    assert [row[:2] for row in shop.dump("customers")] == [("a", "Ada"), ("b", None)]


def test_other_engines_are_refused(tmp_path: Path) -> None:
    source = Source("shop", f"file://{tmp_path}", ("PK",), (NAMES,), table="shop")
    harness = Harness(f"duckdb:///{tmp_path}/w.duckdb", source, tmp_path / "feed")
    with Reconciler(harness.settings) as reconciler, pytest.raises(UsageError) as caught:
        reconciler.reconcile_copied("shop")
    assert "duckdb cannot read a DynamoDB table by itself" in str(caught.value)


def test_rows_there_twice_and_soft_deletes_are_healed_as_ever(
    make_shop: Callable[..., Shop], commands: list[dict[str, Any]]
) -> None:
    shop = make_shop(replace(NAMES, deletes=Deletes.SOFT))
    ada = {"Type": "Customer", "Name": "Ada"}
    shop.keep({"PK": "a", **ada})
    shop.put_records([change(key, 1, ada, at=datetime.now(UTC) - DAY) for key in ("a", "gone")])
    shop.run()
    by_hand(shop, "INSERT INTO analytics.customers SELECT * FROM analytics.customers WHERE pk = 'a'")

    report = shop.copied()

    assert report.targets["customers"].causes["extra"] == {"row_twice": 1, "delete_lost": 1}
    assert {key: row.deleted_at is None for key, row in shop.tables()["customers"].items()} == {
        ("a",): True,
        ("gone",): False,
    }
    assert len(commands) == 2  # once more, as the staging goes with its session


def test_a_history_begins_with_what_was_copied(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop(replace(NAMES, has_history=True))
    shop.keep({"PK": "a", "Type": "Customer", "Name": "Ada"})

    shop.copied()

    (version,) = shop.history("customers")
    assert (version.key, version.item) == (("a",), {"PK": "a", "Type": "Customer", "Name": "Ada"})


def by_hand(shop: Shop, sql: str) -> None:
    with closing(psycopg2.connect(BEHIND[shop.url])) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
