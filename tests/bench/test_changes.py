"""The generators of the benches: deterministic, and each knob does what its name says and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.changes import KINDS, Knobs, generate
from bench.delivery import Delivery
from bench.zipf import spread, stride, zipf

ITEMS, CHANGES = 714, 4_000


def made(knobs: Knobs, *, kind: str = "ecommerce", items: int = ITEMS) -> list[dict[str, Any]]:
    return [json.loads(record) for record in generate(items, CHANGES, kind=KINDS[kind], knobs=knobs)]


def sequence(record: dict[str, Any]) -> int:
    return int(record["dynamodb"]["SequenceNumber"])


def key(record: dict[str, Any]) -> tuple[str, str]:
    keys = record["dynamodb"]["Keys"]
    return keys["PK"]["S"], keys["SK"]["S"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_same_arguments_give_the_same_changes_of_every_table(kind: str) -> None:
    knobs = Knobs(skew=1.1, ttl=0.5, pad=10, delivery=Delivery(0.1, 20, 0.1, 100))
    one, other = (list(generate(ITEMS, 500, 7, kind=KINDS[kind], knobs=knobs)) for _ in range(2))
    assert one == other and len(one) == 500
    assert one != list(generate(ITEMS, 500, 8, kind=KINDS[kind], knobs=knobs))


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_image_is_the_old_one_of_the_next_change(kind: str) -> None:
    images: dict[tuple[str, str], Any] = {}
    for record in made(Knobs(), kind=kind):
        assert record["dynamodb"].get("OldImage") == images.get(key(record))
        images[key(record)] = record["dynamodb"].get("NewImage")
    assert None in images.values()  # something was removed


def test_tpch_has_ten_orders_a_customer_and_one_to_seven_lines_an_order() -> None:
    table = KINDS["tpch"](ITEMS, 1)
    items = [json.loads(f"{{{''.join(table.item(number, 1))}}}") for number in range(ITEMS)]
    keys = [(item["PK"]["S"], item["SK"]["S"]) for item in items]
    assert len(set(keys)) == ITEMS
    assert Counter(item["Type"]["S"] for item in items) == {"Customer": 14, "Order": 140, "Lineitem": 560}
    orders = {pk for pk, sk in keys if sk == "ORDER"}
    lines = Counter(pk for pk, sk in keys if sk.startswith("LINE#"))
    assert set(lines) == orders
    assert Counter(lines.values()) == dict.fromkeys(range(1, 8), 20)
    customers = {item["c_custkey"]["N"] for item in items if "c_custkey" in item}
    assert {item["o_custkey"]["N"] for item in items if "o_custkey" in item} <= customers


def test_skew_decides_how_often_the_hottest_item_changes() -> None:
    hottest = {
        skew: Counter(map(key, made(Knobs(skew=skew)))).most_common(1)[0][1] / CHANGES for skew in (0.0, 0.8, 1.2)
    }
    assert hottest[0.0] < 0.01 < hottest[0.8] < hottest[1.2]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_ranks_follow_the_law_of_zipf(exponent: float) -> None:
    n, draws = 100, 100_000
    found = Counter(islice(zipf(n, exponent, Random(1)), draws))
    whole = sum(k**-exponent for k in range(1, n + 1))
    assert set(found) <= set(range(n))
    for rank in (0, 1, 9):
        assert found[rank] / draws == pytest.approx((rank + 1) ** -exponent / whole, rel=0.1)


@pytest.mark.parametrize("n", [1, 2, 357, 1000, 65_537])
def test_every_rank_has_an_item_of_its_own_far_from_the_next(n: int) -> None:
    place = spread(n)
    assert {place(rank) for rank in range(n)} == set(range(n))
    assert n < 10 or n // 3 < stride(n) < n


def test_duplicates_are_whole_records_that_come_twice() -> None:
    records = made(Knobs(delivery=Delivery(duplicates=0.2)))
    assert len(records) == CHANGES
    twice = Counter(map(sequence, records))
    assert set(twice.values()) == {1, 2}
    assert 0.15 < sum(n == 2 for n in twice.values()) / len(twice) < 0.25


def test_disorder_moves_records_but_loses_none() -> None:
    in_order, shuffled = (list(map(sequence, made(Knobs(delivery=Delivery(disorder=n))))) for n in (1, 50))
    assert in_order == sorted(in_order) == sorted(shuffled) != shuffled


def test_late_records_come_after_newer_ones_and_none_is_lost() -> None:
    records = list(map(sequence, made(Knobs(delivery=Delivery(lateness=0.1, late_by=500)))))
    places = {number: n for n, number in enumerate(sorted(records))}
    held = [n - places[number] for n, number in enumerate(records) if n - places[number] > 200]
    assert len(places) == CHANGES and 0.07 < len(held) / CHANGES < 0.13


def test_deletes_are_the_share_asked_for_and_ttl_signs_its_own() -> None:
    records = made(Knobs(deletes=0.3, ttl=0.5), kind="lineitem", items=100)
    removed = [record for record in records if record["eventName"] == "REMOVE"]
    by_ttl = [record for record in removed if "userIdentity" in record]
    assert 0.2 < len(removed) / CHANGES < 0.3
    assert 0.4 < len(by_ttl) / len(removed) < 0.6
    assert not any("userIdentity" in record for record in records if record["eventName"] != "REMOVE")
    assert by_ttl[0]["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def test_a_pad_makes_every_image_longer_by_so_much() -> None:
    plain, padded = (list(generate(100, 100, knobs=Knobs(pad=pad))) for pad in (0, 500))
    images = [record.count(b'Image":{') for record in plain]
    grown = [len(b) - len(a) for a, b in zip(plain, padded, strict=True)]
    assert all(500 * n <= more < 540 * n for n, more in zip(images, grown, strict=True))


def test_the_command_writes_objects_of_the_size_and_framing_asked_for(tmp_path: Path) -> None:
    words = "--table tpch --size smoke --skew 1 --duplicates 0.1 --objects 3 --codec none --framing concatenated"
    command = [sys.executable, "-m", "bench.changes", str(tmp_path), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.startswith("2000 records, 3 objects")
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    text = "".join(path.read_text() for path in paths)
    assert len(paths) == 3 and text.count("}{") == 2_000 - 1 and "\n" not in text
