"""Tells a story of changes and exports to a real warehouse and to its model, and compares them after every step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Protocol, runtime_checkable

import pytest

from cdc_merge import Reconciler
from cdc_merge.errors import Refused
from cdc_merge.model import Deletes, Expired, Target
from cdc_merge.reconcile.report import Report
from cdc_merge.warehouses import Statement
from tests.properties.same import assert_same_item
from tests.properties.story import contents
from tests.support.exports import write_export
from tests.support.harness import Harness, Landed
from tests.support.history_model import Version
from tests.support.model import Key, Row, Typed, plain_item, takes
from tests.support.reconcile_model import (
    MARGIN,
    REPAIRED,
    Deliver,
    Reconcile,
    Story,
    Tombstone,
    Verdict,
    Verdicts,
    key_of,
)
from tests.support.records import Record

_numbers = itertools.count()


class Model(Protocol):
    """What a warehouse must be like; ModelWarehouse and Told are ones."""

    @property
    def tables(self) -> Mapping[str, Mapping[Key, Row]]: ...

    @property
    def tombstones(self) -> Mapping[Key, Tombstone]: ...

    @property
    def floors(self) -> Mapping[str, datetime]: ...

    def merge(self, records: Iterable[Record]) -> None: ...

    def reconcile(self, items: Iterable[Typed], *, as_of: datetime, anew: bool = False) -> Verdicts:
        """`anew`: by a rebuild."""

    def alterable(self, as_of: datetime) -> list[tuple[str, Key]]:
        """The rows that may be changed by hand right before a reconcile as of this time."""

    def alter(self, table: str, key: Key, row: Row | None) -> None:
        """Change a row by hand, or delete it."""


@runtime_checkable
class Chronicle(Protocol):
    """A model that also tells what histories must be; Told is one."""

    def history(self, target: Target) -> list[Version]: ...


@dataclass
class Both:
    """A real warehouse and its model, told the same."""

    harness: Harness
    model: Model
    root: Path  # of the exports
    random: Random

    def reconcile(self, step: Reconcile) -> None:
        """With a dry run before and the same once more after it, neither of which may change anything.

        Now and then a rebuild follows.
        """
        items = [jumbled(item, self.random) for item in step.items]
        export = write_export(self.root, items, as_of=step.as_of, export_id=f"{next(_numbers):014d}-0123abcd")
        before = self.contents()
        if self.is_too_old(step):
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
        if self.random.random() < 0.3:
            self.rebuild(export, step)
            assert self.contents().keys() == after.keys()

    def rebuild(self, export: Path, step: Reconcile) -> None:
        """Unless columns go that no exported item has any more, with values of other rows: then it is another story."""
        before = self.contents()
        foreseen = self.run(export, dry_run=True, rebuild=True)
        assert self.contents() == before
        if not foreseen.notes and self.histories_stay_legible(step):
            report = self.run(export, rebuild=True)
            assert_verdicts(report, self.model.reconcile(step.items, as_of=step.as_of, anew=True))
            assert report.drifted == 0
            self.compare()

    def histories_stay_legible(self, step: Reconcile) -> bool:
        """Whether every column of a target with a history comes with an exported item: versions are read by these."""
        found = self.harness.rows()
        for target in self.harness.source.targets:
            exported = {attribute for item in step.items if takes(target, item) for attribute in item}
            if target.has_history and not {c.path[0] for c in found[target.table][0].columns} <= exported:
                return False
        return True

    def is_too_old(self, step: Reconcile) -> bool:
        return any(step.as_of - MARGIN < floor for floor in self.model.floors.values())

    def run(self, export: Path, *, dry_run: bool = False, rebuild: bool = False) -> Report:
        with Reconciler(self.harness.settings) as reconciler:
            return reconciler.reconcile("shop", str(export), dry_run=dry_run, rebuild=rebuild)

    def contents(self) -> dict[str, list[str]]:
        """All there is but the books of reconciles, which tell of each."""
        found = contents(self.harness)
        found.pop(f"{self.harness.metadata}.reconciliations", None)
        return found

    def compare(self) -> None:
        tables = self.model.tables
        for table, rows in self.rows().items():
            wanted = tables[table]
            assert {k: (r.position, r.changed_at, r.deleted_at) for k, r in rows.items()} == {
                k: (r.position, r.changed_at, r.deleted_at) for k, r in wanted.items()
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
        for target in self.harness.source.targets:
            if target.has_history:
                self.compare_history(target)

    def compare_history(self, target: Target) -> None:
        assert isinstance(self.model, Chronicle), f"the story has a history: {target.table}"
        found, wanted = self.harness.history(target.table), self.model.history(target)
        for versions in (found, wanted):
            versions.sort(key=lambda v: (v.key, v.position.encode(), str(v.valid_from)))
        assert [replace(v, item=None) for v in found] == [replace(v, item=None) for v in wanted], target.table
        for version, right in zip(found, wanted, strict=True):
            assert (version.item is None) == (right.item is None), (target.table, version)
            assert_same_item(version.item or {}, right.item or {})

    def rows(self) -> dict[str, dict[Key, Landed]]:
        """Of every target; where the rows are elements the key ends with their place."""
        found = self.harness.tables()
        if any(target.each for target in self.harness.source.targets):
            for table, (schema, rows) in self.harness.rows().items():
                attributes = {c.name: str(c.path[0]) for c in schema.columns}
                if schema.each is not None:
                    found[table] = {
                        (*key, str(place)): Landed(
                            row.position,
                            row.changed_at,
                            {attributes[name]: value for name, value in row.values.items() if value is not None},
                        )
                        for (key, place), row in rows.items()
                    }
        return found

    def plant(self, as_of: datetime) -> None:
        """Take a row away, or change one, behind everyone's back."""
        present = self.model.alterable(as_of)
        if not present or self.random.random() < 0.5:
            return
        table, key = self.random.choice(present)
        (target,) = (t for t in self.harness.source.targets if t.table == table)
        row = self.model.tables[table][key]
        names = ("pk", "sk", "_cdc_index")[: len(key)]
        is_it = " AND ".join(f"{column} = {literal(value)}" for column, value in zip(names, key, strict=True))
        name = f"{self.harness.schema}.{table}"
        dice = self.random.random()
        if dice < 0.4:
            self.execute(f"DELETE FROM {name} WHERE {is_it}")
            self.model.alter(table, key, None)
        elif dice < 0.7 and target.deletes is Deletes.SOFT:
            mark = as_of - 3 * MARGIN if row.deleted_at is None else None
            new = "NULL" if mark is None else f"TIMESTAMP WITH TIME ZONE {literal(mark.isoformat())}"
            self.execute(f"UPDATE {name} SET _cdc_deleted_at = {new} WHERE {is_it}")
            self.model.alter(table, key, replace(row, deleted_at=mark))
        else:
            column, attribute = ("sku", "Sku") if target.each else ("type", "Type")
            self.execute(f"UPDATE {name} SET {column} = 'planted' WHERE {is_it}")
            self.model.alter(table, key, replace(row, attributes={**row.attributes, attribute: "planted"}))

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
                if not both.is_too_old(step):
                    both.plant(step.as_of)
                both.reconcile(step)
    assert both.harness.tombstones() == {}
    assert_is_truth(both, story.export(story.after_all).items)


def assert_is_truth(both: Both, items: Sequence[Typed]) -> None:
    """Each table has exactly the items that are there, and else only rows that may stay though their item is gone."""
    there = {key_of(item, both.harness.source): item for item in items}
    rows = both.rows()
    for target in both.harness.source.targets:
        wanted = {key: plain_item(item) for key, item in there.items() if takes(target, item)}
        if target.each is not None:
            assert len(rows[target.table]) == sum(len(item[str(target.each[0])]) for item in wanted.values())
            continue
        left = {key: row for key, row in rows[target.table].items() if key not in wanted}
        for key, item in wanted.items():
            row = rows[target.table][key]
            assert row.deleted_at is None
            assert_same_item(row.item, Row("", None, item).item)
        may_stay = target.deletes is Deletes.IGNORE or target.expired is Expired.KEEP
        for key, row in left.items():
            is_marked = target.deletes is Deletes.SOFT and row.deleted_at is not None
            assert is_marked or (may_stay and key not in there), (target.table, key)
