"""Whatever a feed holds: both roads leave the same rows, books and quarantine, and plain feeds take the warehouse's."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, Ordering, Source, Target, TimeUnit
from tests.support.histories import deliveries, histories
from tests.support.records import Record, compress, encode, frame
from tests.support.single_table import KEY, KEYS
from tests.support.single_table import images as any_images
from tests.support.two_roads import TwoRoads

TEXT = ColumnType(Kind.TEXT)

# What each attribute holds that surely fits its column.
TAME: dict[str, tuple[ColumnType, tuple[Any, ...]]] = {
    "Status": (TEXT, ("PLACED", "", " ", 'it\'s "ä" \\\n🛒', None)),
    "Total": (ColumnType(Kind.NUMERIC), (Decimal("12.50"), Decimal("-0.001"), 0, 10**19, None)),
    "Count": (ColumnType(Kind.INTEGER), (0, -7, 10**17)),
    "Share": (ColumnType(Kind.DOUBLE), (Decimal("0.25"), Decimal("-1234567.5"))),
    "Rate": (ColumnType(Kind.NUMERIC, 6, 2), (Decimal("9999.99"), 1)),
    "Paid": (ColumnType(Kind.BOOLEAN), (True, False, None)),
    "Created": (ColumnType(Kind.TIMESTAMP), ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05.5", "1999-12-31")),
    "Ends": (ColumnType(Kind.TIMESTAMP, unit=TimeUnit.MILLISECONDS), (1767225600123, 0)),
    "Day": (ColumnType(Kind.DATE), ("0001-01-01", "9999-12-31")),
    "Email address": (TEXT, ("a@b.c",)),
    "total": (TEXT, ("small",)),
}
LEFT = {"GSI1PK": ("ORDER#1", "x"), "Address": ({"City": "Bern", "Zip": "3"}, {"Geo": [Decimal("1.50"), True]})}
CONDITIONS = (
    Condition(("Type",), any_of=("Order", 5)),
    Condition(("Type",), any_of=("Customer",)),
    Condition(("PK",), prefix="CUSTOMER#"),
    Condition(("SK",), any_of=("007", "ORDER#")),
    Condition(("Email address",), exists=False),
    Condition(("Address", "City"), any_of=("Bern",)),
    Condition(("Paid",), any_of=(True,)),
    Condition(("Count",), any_of=(0, 7)),
)


@st.composite
def tame_images(draw: st.DrawFn) -> dict[str, Any]:
    random = draw(st.randoms(use_true_random=False))
    image = {name: random.choice(values) for name, (_, values) in TAME.items() if random.random() < 0.5}
    image |= {name: random.choice(values) for name, values in LEFT.items() if random.random() < 0.3}
    kind = random.choice(("Customer", "Order", "Other", 5, None))
    return image if kind is None else {"Type": kind, **image}


# What hardly any column takes for sure; a batch often has one of them only.
WILD = (
    *("12.50", "soon", "2026-02-30", "x\0y", "2026-01-02T03:04:05+05:30", "true"),
    *(Decimal("1E+20"), Decimal("0.1234567890123456789"), 10**25, 5, True, b"\x01", {"a": "b"}, ["x"], {"b", "a"}),
)


@st.composite
def odd_images(draw: st.DrawFn) -> dict[str, Any]:
    image = draw(tame_images())
    random = draw(st.randoms(use_true_random=False))
    if random.random() < 0.04:
        image[random.choice([*TAME, "Else", "Type"])] = random.choice(WILD)
    return image


@st.composite
def sources(draw: st.DrawFn, *, is_tame: bool) -> Source:
    targets = []
    # Attributes that become columns soon are maps, of which one keeps its source with the worker.
    is_open = not is_tame and draw(st.integers(0, 4)) == 0
    for number in range(draw(st.integers(1, 3))):
        names = draw(st.lists(st.sampled_from(list(TAME)), min_size=3, unique=True))
        columns = tuple(Column(f"c{i}", (name,), TAME[name][0]) for i, name in enumerate(names))
        city = Column("city", ("Address", "City"), TEXT)
        where = draw(st.lists(st.sampled_from(CONDITIONS), max_size=2, unique_by=lambda c: c.path))
        target = Target(f"t{number}", where=tuple(where), columns=(*columns, city), evolve=Evolve.FREEZE)
        if is_open:
            target = replace(target, evolve=Evolve.ADD, columns=draw(st.sampled_from([target.columns, None])))
        targets.append(target)
    return Source("shop", "", KEY, tuple(targets))


def damaged(record: Record, random: Random) -> Record | bytes:
    """Something that is no change any more, or hardly one."""
    inside = dict(record["dynamodb"])
    match random.randrange(8):
        case 0:
            return encode(record)[: random.randrange(1, 60)]
        case 1:
            return record | {"eventName": "TRUNCATE"}
        case 2:
            return record | {"dynamodb": inside | {"Keys": {"PK": {"S": "only"}}}}
        case 3:
            return record | {"dynamodb": inside | {"NewImage": {}}, "eventName": "MODIFY"}
        case 4:
            return record | {"dynamodb": inside | {"SequenceNumber": "x"} if "SequenceNumber" in inside else {}}
        case 5:
            return record | {"dynamodb": inside | {"Keys": {"PK": {"S": "blank "}, "SK": {"S": "-"}}}}
        case 6:
            return {"rawData": "e30=", "errorCode": "Lambda"}
    return record | {"dynamodb": inside | {"ApproximateCreationDateTime": "soon"}}


@pytest.mark.parametrize("ordering", list(Ordering))
def test_both_roads_leave_the_same(raw_url: str, tmp_path: Path, ordering: Ordering, examples: int) -> None:
    taken = Counter[str]()

    # A case is a source on two roads with a worker for each batch: it takes as long as six elsewhere.
    @settings(
        max_examples=max(2, examples // 6),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        is_tame = data.draw(st.booleans())
        source = data.draw(sources(is_tame=is_tame))
        random = data.draw(st.randoms(use_true_random=False))
        image = tame_images() if is_tame else odd_images()
        if not is_tame and random.random() < 0.2:
            image = any_images(has_moved=True)
        history = data.draw(
            histories(key=KEYS, ordering=ordering, image=image, min_keys=6, max_keys=9, min_changes=20, max_changes=30)
        )
        roads = TwoRoads.of(raw_url, source, tmp_path)
        for number, batch in enumerate(data.draw(deliveries(history))):
            objects = []
            for records in batch:
                style = "ndjson" if len(batch) > 1 else random.choice(("ndjson", "concatenated", "crlf"))
                body: list[Record | bytes] = list(records)
                if not is_tame and random.random() < 0.07:
                    body.insert(random.randrange(len(body) + 1), damaged(random.choice(records), random))
                objects.append(compress(frame(body, style), random.choice(("none", "gzip"))))
            by = roads.merge(*objects)
            taken[by] += 1
            if is_tame and number:
                assert by == "warehouse", history

    run()
    assert taken["warehouse"] or examples < 60
