"""Merges and reconciles of random stories, told to a real warehouse and to the model, end the same on every engine."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cdc_merge import Reconciler
from cdc_merge.errors import Refused
from cdc_merge.model import BatchLimits, Column, Condition, Evolve, Ordering, ReconcilePolicy, Source, Target
from cdc_merge.reconcile.report import Report
from cdc_merge.warehouses import Statement
from tests.properties.same import assert_same_item
from tests.properties.story import contents
from tests.support.exports import write_export
from tests.support.harness import Harness
from tests.support.histories import NASTY
from tests.support.model import Row, takes
from tests.support.reconcile_model import (
    MARGIN,
    REPAIRED,
    START,
    Deliver,
    ModelWarehouse,
    Reconcile,
    Story,
    Verdict,
    Verdicts,
    random_story,
)
from tests.support.records import stream_record, to_item

CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target(
    "orders",
    where=(Condition(("Type",), any_of=("Order", "Return")),),
    columns=(Column("full_name", ("Name",)), Column("type", ("Type",))),
    evolve=Evolve.FREEZE,
)
ITEMS = Target("items")
POLICY = ReconcilePolicy(margin=MARGIN.total_seconds(), max_delete=1.0)
ONE_TABLE = Source("shop", "", ("PK", "SK"), (ITEMS,), reconcile=POLICY, batch=BatchLimits(objects=1))
BY_TYPE = replace(ONE_TABLE, targets=(CUSTOMERS, ORDERS))

# Of each attribute values of one type and of another, but none that are spelled alike in a column of text. NULLs have
# a test of their own below.
VALUES: dict[str, tuple[Any, ...]] = {
    "Name": ("", "x", "a'b", "ä🛒", ["x"]),
    "Total": (
        Decimal("1"),
        Decimal("-12.5"),
        Decimal("12345678901234567890123456789012345678"),
        {"x": "y"},
    ),
    "Email address": ("", "a@example.com"),
    "Tags": (frozenset({"b", "a", "ä"}), frozenset({"b"}), True),
    "Sizes": (frozenset({Decimal("2"), Decimal("10"), Decimal("0.5")}), frozenset({b"b", b"a"})),
    "Deep": ({"a": None, "b": [1, {"c": Decimal("0.1")}]}, {"b": []}, [], [frozenset({"x", "y"})]),
    "Raw": (b"", b"\xff"),
}

_numbers = itertools.count()


def image(random: Random) -> dict[str, Any]:
    kind = {"Type": random.choice(("Customer", "Order", "Return", "Nobody's"))}
    return kind | {name: random.choice(values) for name, values in VALUES.items() if random.random() < 0.4}


def keys(random: Random) -> list[dict[str, Any]]:
    return [{"PK": p, "SK": random.choice(NASTY)} for p in random.sample(NASTY, 3)]


@dataclass
class Both:
    """A real warehouse and its model, told the same."""

    harness: Harness
    model: ModelWarehouse
    root: Path  # of the exports
    random: Random

    def reconcile(self, step: Reconcile) -> None:
        """With a dry run before and the same once more after it, neither of which may change anything."""
        items = [jumbled(item, self.random) for item in step.items]
        export = write_export(self.root, items, as_of=step.as_of, export_id=f"{next(_numbers):014d}-0123abcd")
        before = self.contents()
        if any(step.as_of - MARGIN < floor for floor in self.model.floors.values()):
            with pytest.raises(Refused):
                self.run(export)
            assert self.contents() == before
            return
        reports = []
        if before:  # a dry run makes no metadata tables, not even the first time
            reports.append(self.run(export, dry_run=True))
            assert self.contents() == before
        reports.append(self.run(export))
        wanted = self.model.reconcile(step.items, as_of=step.as_of)
        for report in reports:
            assert_verdicts(report, wanted)
        self.compare()
        after = self.contents()
        again = self.run(export)
        assert_verdicts(again, self.model.reconcile(step.items, as_of=step.as_of))
        assert again.drifted == 0
        assert self.contents() == after

    def run(self, export: Path, *, dry_run: bool = False) -> Report:
        with closing(Reconciler(self.harness.settings)) as reconciler:
            return reconciler.reconcile("shop", str(export), dry_run=dry_run)

    def contents(self) -> dict[str, list[str]]:
        """All there is but the books of reconciles, which tell of each."""
        found = contents(self.harness)
        found.pop(f"{self.harness.metadata}.reconciliations", None)
        return found

    def compare(self) -> None:
        for table, rows in self.harness.tables().items():
            wanted = self.model.tables[table]
            assert {k: (r.position, r.changed_at) for k, r in rows.items()} == {
                k: (r.position, r.changed_at) for k, r in wanted.items()
            }, table
            for key, row in rows.items():
                assert_same_item(row.item, wanted[key].item)
        m = self.harness.metadata
        tombstones = self.harness.query(f"SELECT partition_key, sort_key, position, changed_at FROM {m}.tombstones")
        assert {(p, s): (position, at) for p, s, position, at in tombstones} == {
            key: (known.position, known.changed_at) for key, known in self.model.tombstones.items()
        }
        floors = self.harness.query(f"SELECT target, floor_at FROM {m}.targets WHERE floor_at IS NOT NULL")
        assert dict(floors) == self.model.floors

    def plant(self) -> None:
        """Take a row away, or change one, behind everyone's back."""
        present = [(table, key) for table, rows in self.model.tables.items() for key in rows]
        if not present or self.random.random() < 0.5:
            return
        table, key = self.random.choice(present)
        name = f"{self.harness.schema}.{table}"
        is_it = " AND ".join(f"{column} = {literal(value)}" for column, value in zip(("pk", "sk"), key, strict=True))
        if self.random.random() < 0.5:
            self.execute(f"DELETE FROM {name} WHERE {is_it}")
            del self.model.tables[table][key]
        else:
            self.execute(f"UPDATE {name} SET type = 'planted' WHERE {is_it}")
            row = self.model.tables[table][key]
            self.model.tables[table][key] = Row(row.position, row.changed_at, {**row.attributes, "Type": "planted"})

    def execute(self, sql: str) -> None:
        with closing(self.harness.open()) as warehouse, warehouse.session() as session:
            session.run([Statement("plant", sql)])


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def jumbled(typed: Any, random: Random) -> Any:
    """The same typed item with attributes and the elements of sets in another order, as an export may have them."""
    if isinstance(typed, dict):
        pairs = list(typed.items())
        random.shuffle(pairs)
        return {
            name: random.sample(value, len(value))
            if name in ("SS", "NS", "BS") and isinstance(value, list)
            else jumbled(value, random)
            for name, value in pairs
        }
    return [jumbled(each, random) for each in typed] if isinstance(typed, list) else typed


def assert_verdicts(report: Report, wanted: Verdicts) -> None:
    """The counts of each verdict, and the keys of those of which the report keeps samples."""
    assert set(report.targets) == set(wanted)
    for table, verdicts in report.targets.items():
        counts = {verdict: getattr(verdicts, verdict) for verdict in Verdict}
        assert counts == {verdict: len(keys) for verdict, keys in wanted[table].items()}, table
        assert verdicts.repaired == sum(counts[verdict] for verdict in REPAIRED)
        for verdict in REPAIRED:
            assert {s.key for s in verdicts.samples if s.verdict == verdict} == wanted[table][verdict], table


# --- how the records reach the warehouse -------------------------------------------------------------------

Merging = Callable[[Harness, Sequence[Deliver]], AbstractContextManager[Callable[[], object]]]
"""Opens what merges the deliveries, one with each call."""


@contextmanager
def by_new_workers(harness: Harness, deliveries: Sequence[Deliver]) -> Iterator[Callable[[], object]]:
    """Each object is put and merged by a worker of its own."""
    waiting = iter(deliveries)

    def merge() -> None:
        harness.put_records(next(waiting).records)
        harness.run()

    yield merge


@contextmanager
def by_one_worker(harness: Harness, deliveries: Sequence[Deliver]) -> Iterator[Callable[[], object]]:
    """All objects lie there; one worker is in the midst of them, a batch for each, and holds the lease throughout."""
    for each in deliveries:
        harness.put_records(each.records)
    with closing(harness.worker()) as worker:
        worker.prepare()
        batches = worker.sources[0].merge_new()
        yield lambda: next(batches)


def tell(both: Both, story: Story, merging: Merging) -> None:
    """The story, then an export that holds the end of it, then every change once more, also those that were lost."""
    late = [event.record for event in story.events]
    both.random.shuffle(late)
    steps = [*story.steps, story.export(story.after_all, both.random), Deliver(tuple(late))]
    deliveries = [step for step in steps if isinstance(step, Deliver)]
    with merging(both.harness, deliveries) as merge:
        for step in steps:
            if isinstance(step, Deliver):
                merge()
                both.model.merge(step.records)
                both.compare()
            else:
                both.plant()
                both.reconcile(step)
    assert both.harness.tombstones() == {}
    truth = story.export(story.after_all).items
    assert sum(map(len, both.harness.tables().values())) == sum(
        takes(target, item) for target in both.harness.source.targets for item in truth
    )


@pytest.mark.parametrize(
    ("source", "ordering"),
    [(ONE_TABLE, Ordering.SEQUENCE), (BY_TYPE, Ordering.SEQUENCE), (BY_TYPE, Ordering.TIME)],
    ids=["one table", "by type", "by type and time"],
)
def test_merges_and_reconciles_of_a_story_end_as_the_model_says(
    warehouse_url: str, tmp_path: Path, source: Source, ordering: Ordering, examples: int
) -> None:
    for seed in range(max(1, examples // 12)):
        random = Random(f"{ordering} {len(source.targets)} {seed}")
        merging = (by_new_workers, by_one_worker)[(seed + len(source.targets)) % 2]
        story = random_story(random, keys=keys(random), image=image, ordering=ordering, max_reconciles=2)
        number = next(_numbers)
        feed = tmp_path / f"feed{number}"
        harness = Harness(warehouse_url, source, feed, schema=f"s{number}", metadata=f"m{number}")
        try:
            tell(Both(harness, ModelWarehouse(source), tmp_path / "exports", random), story, merging)
        except Exception as error:
            error.add_note(f"seed {seed}, schema {harness.schema}, objects in {feed}")
            raise
        shutil.rmtree(feed)


def test_every_line_of_the_verdict_table(warehouse_url: str, tmp_path: Path) -> None:
    """Also: what is newer in one target, or deleted, is not brought back in another."""
    old, new = START, START + timedelta(hours=1)
    changes: list[tuple[str, datetime, dict[str, Any] | None]] = [
        ("equal", old, {"Type": "Customer", "Total": 1}),
        ("different", old, {"Type": "Customer", "Total": 1}),
        ("extra", old, {"Type": "Customer"}),
        ("newer row", new, {"Type": "Customer", "Total": 2}),
        ("newer elsewhere", new, {"Type": "Order"}),
        ("newer, nobody's", new, {"Type": "Nobody's"}),
        ("newer delete", new, None),
        ("old delete", old, None),
    ]
    records = [
        stream_record({"PK": key, "SK": "-"}, image, sequence=number, at=at)
        for number, (key, at, image) in enumerate(changes)
    ]
    exported: dict[str, dict[str, Any]] = {
        "equal": {"Total": Decimal("1.0")},
        "different": {"Total": 2},
        "missing": {},
        "newer row": {"Total": 1},
        "newer elsewhere": {},
        "newer, nobody's": {},
        "newer delete": {},
        "old delete": {},
    }
    items = [to_item({"PK": key, "SK": "-", "Type": "Customer", **rest}) for key, rest in exported.items()]
    both = Both(Harness(warehouse_url, BY_TYPE, tmp_path / "feed"), ModelWarehouse(BY_TYPE), tmp_path, Random(0))
    with by_one_worker(both.harness, [Deliver(tuple(records))]) as merge:
        merge()
        both.model.merge(records)
        both.compare()
        both.reconcile(Reconcile(new, tuple(items)))
    assert set(both.harness.tables()["customers"]) == {
        (key, "-") for key in ("equal", "different", "missing", "newer row", "old delete")
    }
    assert set(both.harness.tombstones()) == {("newer, nobody's", "-"), ("newer delete", "-")}


def test_a_null_that_came_before_its_column_is_no_drift(warehouse_url: str, tmp_path: Path) -> None:
    harness = Harness(warehouse_url, ONE_TABLE, tmp_path / "feed")
    items: list[dict[str, Any]] = [
        {"PK": "first", "SK": "", "Name": None},
        {"PK": "second", "SK": "", "Name": "x"},
    ]
    for number, item in enumerate(items):
        harness.put_records([stream_record({"PK": item["PK"], "SK": ""}, item, sequence=number, at=START)])
        harness.run()
    export = write_export(tmp_path / "exports", map(to_item, items), as_of=START + 2 * MARGIN)
    with closing(Reconciler(harness.settings)) as reconciler:
        report = reconciler.reconcile("shop", str(export))
    assert report.targets["items"].equal == 2
