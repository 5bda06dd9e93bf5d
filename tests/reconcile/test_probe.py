"""The drift meter against a DynamoDB that answers over HTTP: what is sampled, and what counts as drift."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import boto3
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdc_merge.exports.dynamodb import Item
from cdc_merge.layout import layout_of
from cdc_merge.ledger import Ledger
from cdc_merge.merge.plan import MergePlan
from cdc_merge.metrics import Metrics
from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, ReconcilePolicy, Source, Target
from cdc_merge.reconcile.estimate import wilson_interval
from cdc_merge.reconcile.meter import Reading, Verdict
from cdc_merge.reconcile.probe import Probe
from cdc_merge.reconcile.probing import Allowance, Probing, grace_of
from cdc_merge.reconcile.sampling import SampledRow, sample_rows
from cdc_merge.schema.tables import Inspector
from tests.support.harness import Harness
from tests.support.records import stream_record, to_item
from tests.support.s3 import moto_s3

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = Source(
    "shop",
    "",
    ("PK", "SK"),
    (
        Target("customers", where=(Condition(("Type",), any_of=("Customer",)),)),
        Target(
            "orders",
            where=(Condition(("Type",), any_of=("Order",)),),
            columns=(Column("total", ("Total",), ColumnType(Kind.NUMERIC)),),
            evolve=Evolve.FREEZE,
        ),
    ),
    reconcile=ReconcilePolicy(probe=200),
)
pytestmark = pytest.mark.double("what makes its DynamoDB hides the real S3", "redshift")
CUSTOMER = {"Type": "Customer", "Name": "Ada", "Tags": {"x", "y"}, "More": {"b": [1, b"\x00"]}}
ORDER = {"Type": "Order", "Total": Decimal("12.50"), "Else": {"k": 1}}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with moto_s3():
        yield boto3.session.Session().client("dynamodb")


def create_table(client: Any, *, partition: str = "S", sort: str = "S") -> str:
    name = f"table-{uuid4()}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "PK", "AttributeType": partition},
            {"AttributeName": "SK", "AttributeType": sort},
        ],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
    )
    return name


class Shop(Harness):
    """A source, its warehouse, and its DynamoDB table."""

    client: Any
    table: str
    count = 0

    def write(self, key: Mapping[str, Any], image: Mapping[str, Any] | None, *, feed: bool = True) -> None:
        """Write an item (None: delete it); `feed`: its change reaches the warehouse, too."""
        if image is None:
            self.client.delete_item(TableName=self.table, Key=_boto(key))
        else:
            self.client.put_item(TableName=self.table, Item=_boto({**key, **image}))
        Shop.count += 1
        if feed:
            whole = None if image is None else {**key, **image}
            self.put_records([stream_record(key, whole, sequence=Shop.count, at=T0 + timedelta(seconds=Shop.count))])

    def probe(self) -> Probe:
        warehouse = self.open()
        return Probe(
            self.source,
            self.table,
            warehouse=warehouse,
            layout=layout_of(self.settings, warehouse),
            clock=lambda: T0,
            wait=lambda _seconds: None,
            check=lambda: None,
            random=Random(1),
        )


def _boto(item: Mapping[str, Any]) -> Item:
    """An item as boto3 takes it: DynamoDB JSON, but bytes where that has base64."""

    def raw(typed: Any) -> Any:
        ((tag, value),) = typed.items()
        match tag:
            case "B":
                return {tag: base64.b64decode(value)}
            case "BS":
                return {tag: [base64.b64decode(v) for v in value]}
            case "M":
                return {tag: {k: raw(v) for k, v in value.items()}}
            case "L":
                return {tag: [raw(v) for v in value]}
        return typed

    return {name: raw(value) for name, value in to_item(dict(item)).items()}


@pytest.fixture
def shop(client: Any, warehouse_url: str, tmp_path: Path) -> Shop:
    shop = Shop(warehouse_url, SOURCE, tmp_path / "feed")
    shop.client, shop.table = client, create_table(client)
    return shop


def key(name: str) -> dict[str, Any]:
    return {"PK": name, "SK": "s"}


def read(shop: Shop) -> dict[str, str]:
    """The verdict of every row, by the table's number and the first of its key."""
    probe = shop.probe()
    found = probe.read(probe.sample(100))
    return {f"{row.target}:{row.key[0]}": reading.verdict.value for row, reading in found.items()}


def test_rows_are_compared_with_their_items_as_they_are_now(shop: Shop) -> None:
    for name, image in {"a": CUSTOMER, "b": CUSTOMER, "c": CUSTOMER, "d": CUSTOMER, "e": CUSTOMER}.items():
        shop.write(key(name), image)
    for name in ("o", "p", "q"):
        shop.write(key(name), ORDER)
    shop.run()
    shop.write(key("b"), {**CUSTOMER, "Name": "Bo"}, feed=False)
    shop.write(key("c"), None, feed=False)
    shop.write(key("d"), ORDER, feed=False)
    shop.write(key("e"), {**CUSTOMER, "New": 1}, feed=False)
    shop.write(key("p"), {**ORDER, "Else": {"k": 2}}, feed=False)
    shop.write(key("missing"), CUSTOMER, feed=False)
    assert read(shop) == {
        "0:a": "equal",
        "0:b": "different",
        "0:c": "extra",
        "0:d": "extra",
        "0:e": "different",
        "1:o": "equal",
        "1:p": "different",
        "1:q": "equal",
    }


def test_keys_of_every_type_find_their_items(client: Any, warehouse_url: str, tmp_path: Path) -> None:
    source = replace(SOURCE, targets=(Target("items"),))
    shop = Shop(warehouse_url, source, tmp_path / "feed")
    shop.client, shop.table = client, create_table(client, partition="B", sort="N")
    keys = [{"PK": b"\x00\xff", "SK": Decimal(n)} for n in ("1", "-2.5", "0", "12345678901234567890")]
    for each in keys:
        shop.write(each, {"v": 1})
    shop.run()
    probe = shop.probe()
    found = probe.read(probe.sample(10))
    assert Counter(reading.verdict for reading in found.values()) == {Verdict.EQUAL: 4}


def test_a_reading_tells_whether_row_or_item_have_changed(shop: Shop) -> None:
    shop.write(key("a"), CUSTOMER)
    shop.run()
    probe = shop.probe()
    rows = probe.sample(1)

    def reading() -> Reading:
        return probe.read(rows)[rows[0]]

    first = reading()
    assert reading() == first
    shop.write(key("a"), {**CUSTOMER, "Name": "Bo"}, feed=False)
    second = reading()
    assert (second.row == first.row, second.item == first.item) == (True, False)
    shop.write(key("a"), {**CUSTOMER, "Name": "Bo"})
    shop.run()
    third = reading()
    assert (third.verdict, third.row == second.row, third.item == second.item) == (Verdict.EQUAL, False, True)
    shop.write(key("a"), None)
    shop.run()
    assert reading() == Reading(Verdict.GONE)


def test_nothing_is_sampled_before_the_first_batch(shop: Shop) -> None:
    shop.worker().prepare()
    assert shop.probe().sample(10) == []


# --- rounds -----------------------------------------------------------------------------------------------


@dataclass
class Rounds:
    """The drift meter of a shop, whose worker is always caught up; the clock stands until it is moved."""

    shop: Shop
    now: datetime = T0
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        warehouse = self.shop.open()
        self.probing = Probing(
            self.shop.source,
            1200,
            self.shop.probe(),
            warehouse=warehouse,
            layout=layout_of(self.shop.settings, warehouse),
            metrics=self.metrics,
            clock=lambda: self.now,
            holds_lease=lambda: True,
            caught_up_at=lambda: self.now,
        )

    def settled(self) -> dict[str, float]:
        (family,) = (
            f
            for f in text_string_to_metric_families(self.metrics.render().decode())
            if f.name == "cdc_merge_drift_samples"
        )
        return {s.labels["outcome"]: s.value for s in family.samples if s.name.endswith("_total")}


def test_what_still_differs_after_the_grace_is_in_the_estimate(shop: Shop) -> None:
    for name in ("a", "b", "c", "d"):
        shop.write(key(name), CUSTOMER)
    shop.run()
    shop.write(key("a"), {**CUSTOMER, "Name": "lost"}, feed=False)
    shop.write(key("b"), {**CUSTOMER, "Name": "late"})  # it waits to be merged
    rounds = Rounds(shop)
    assert rounds.probing.attend() == 300
    assert rounds.settled() == {"equal": 2}
    shop.run()
    rounds.now += grace_of(shop.source)
    rounds.probing.attend()
    assert rounds.settled() == {"equal": 5, "drifted": 1}  # c and d once more
    lower, upper = wilson_interval(1, 6)
    assert shop.query(
        f"SELECT source, samples, drifted, lower_bound, upper_bound, last_sample_at FROM {shop.metadata}.probes"
    ) == [("shop", 6, 1, lower, upper, rounds.now)]
    assert b'cdc_merge_drift_ratio{bound="lower",source="shop"}' in rounds.metrics.render()


def test_a_round_that_fails_is_told_and_the_next_goes_on(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.write(key("a"), CUSTOMER)
    shop.run()
    rounds = Rounds(shop)
    shop.client.delete_table(TableName=shop.table)
    assert rounds.probing.attend() == 300
    assert "probe_failed" in caplog.text
    assert shop.query(f"SELECT * FROM {shop.metadata}.probes") == []


def test_no_more_is_read_in_an_hour_than_is_allowed() -> None:
    for rate in (0.5, 7, 200, 10_000):
        allowance = Allowance(rate)
        rounds = 24 * 3600 / allowance.round_seconds
        taken = sum(
            allowance.take(T0 + timedelta(seconds=n * allowance.round_seconds)) for n in range(1, round(rounds) + 1)
        )
        assert taken == pytest.approx(24 * rate, abs=1)
        assert allowance.take(T0 + timedelta(days=9)) <= 1 + rate * allowance.round_seconds / 3600


# --- which rows -------------------------------------------------------------------------------------------


def sample(shop: Shop, count: int, random: Random) -> Sequence[SampledRow]:
    warehouse = shop.open()
    layout = layout_of(shop.settings, warehouse)
    with warehouse.session() as session:
        state = Ledger(layout.metadata, warehouse.dialect).state(session, "shop", schema=shop.schema)
        there = Inspector(warehouse.dialect, layout.schema, state.schemas, state.columns, state.key_tags)
        plan = MergePlan(warehouse.dialect, layout, there.open_books(shop.source), state.key_tags or ())
        found = sample_rows(session, warehouse.dialect, plan.targets, count, random=random)
    warehouse.close()
    return found


def test_every_row_of_every_target_is_as_likely_as_any_other(shop: Shop) -> None:
    records = [
        stream_record(k := key(f"{kind}{n}"), {**k, **image, "Pad": "x" * pad}, sequence=n + 1, at=T0)
        for kind, image, count, pad in (("c", CUSTOMER, 60, 3000), ("o", ORDER, 20, 0))
        for n in range(count)
    ]
    shop.put_records(records)
    shop.run()
    # places without a row, among those with one
    shop.put_records([stream_record(k := key(f"c{n}"), None, sequence=1000, at=T0) for n in range(0, 60, 3)])
    shop.run()
    random, drawn = Random(2), Counter[SampledRow]()
    for _ in range(60):
        found = sample(shop, 20, random)
        assert len(set(found)) == len(found) == 20
        drawn.update(found)
    assert len(drawn) == 60
    # each is drawn 20 times on average; the sum of squares is chi-squared with 59 degrees of freedom, or less
    assert sum((count - 20) ** 2 / 20 for count in drawn.values()) < 100
    assert len(sample(shop, 1000, random)) == 60
