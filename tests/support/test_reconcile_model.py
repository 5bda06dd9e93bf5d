"""Random stories on the model alone: the rules of docs/semantics.md keep the promises, and each is needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from random import Random
from typing import Any

import pytest

from cdc_merge.errors import Refused
from cdc_merge.model import Condition, Ordering, Source, Target
from tests.support.model import Change, Row, Typed, expected, plain_item, takes
from tests.support.reconcile_model import (
    MARGIN,
    REPAIRED,
    Deliver,
    ModelWarehouse,
    Reconcile,
    Rule,
    Story,
    Tombstone,
    Verdicts,
    is_same,
    key_of,
    random_story,
)
from tests.support.records import Record, stream_record, to_item
from tests.support.told import Told, plain

CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target("orders", where=(Condition(("Type",), any_of=("Order", "Return")),))
ITEMS = Target("items")
SOURCES = [Source("shop", "", ("PK",), targets) for targets in ((ITEMS,), (CUSTOMERS, ORDERS), (CUSTOMERS, ITEMS))]
BY_TYPE = SOURCES[1]
KEYS = [{"PK": "a"}, {"PK": "b"}, {"PK": "c"}]
STORIES = 600
T = datetime(2026, 1, 1, 12, tzinfo=UTC)


def image(random: Random) -> dict[str, Any]:
    return {"Type": random.choice(("Customer", "Order", "Return", "Nobody's")), "v": random.randint(0, 2)}


def stories(number: int = STORIES) -> Iterator[tuple[Random, Story]]:
    """The same stories each time, and randomness for what a test adds to each."""
    return ((Random(seed), story_of(seed)) for seed in range(number))


@cache
def story_of(seed: int) -> Story:
    random = Random(seed)
    return random_story(random, keys=KEYS, image=image, ordering=random.choice(list(Ordering)))


def is_above(change: Change, as_of: datetime) -> bool:
    assert change.changed_at
    return change.changed_at > as_of - MARGIN


@dataclass
class Teller:
    """Tells a story to a model and keeps what must come of it."""

    model: ModelWarehouse

    def __post_init__(self) -> None:
        self.told = Told(self.model.source)

    def tell(self, story: Story, *, choose: Callable[[], Collection[str] | None] = lambda: None) -> None:
        """`choose`: the targets of each reconcile, all without it. Raises AssertionError where anything is wrong."""
        for step in story.steps:
            if isinstance(step, Deliver):
                self.deliver(step)
            elif self.is_too_old(step):
                with pytest.raises(Refused):
                    self.model.reconcile(step.items, as_of=step.as_of)
            else:
                self.reconcile(step, choose())
            self.check_tables()

    def deliver(self, step: Deliver) -> None:
        self.model.merge(step.records)
        self.told.merge(step.records)

    def reconcile(self, step: Reconcile, tables: Collection[str] | None = None) -> None:
        wanted = self.told.reconcile(step.items, as_of=step.as_of, tables=tables)
        assert self.model.reconcile(step.items, as_of=step.as_of, tables=tables) == wanted

    def is_too_old(self, step: Reconcile) -> bool:
        return any(step.as_of - MARGIN < floor for floor in self.told.floors.values())

    def check_tables(self) -> None:
        for table, rows in self.told.tables.items():
            assert is_same(plain(self.model.tables[table]), plain(rows)), table


def state(model: ModelWarehouse) -> object:
    return model.tables, model.tombstones, model.floors


# --- the promises --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES, ids=["one table", "by type", "overlapping"])
def test_tables_are_the_newest_change_above_the_floor_else_the_export(source: Source) -> None:
    """After every step, with the verdicts as they must be: promises 1, 2 and 5 at once."""
    for _, story in stories():
        Teller(ModelWarehouse(source)).tell(story)


def test_the_same_with_targets_reconciled_one_by_one() -> None:
    names = [t.table for t in BY_TYPE.targets]
    for random, story in stories():
        choose = partial(some_of, names, random)
        Teller(ModelWarehouse(BY_TYPE)).tell(story, choose=choose)


def some_of(names: Sequence[str], random: Random) -> list[str]:
    return random.sample(names, random.randint(1, len(names)))


def test_after_everything_was_delivered_and_a_last_reconcile_tables_are_the_truth() -> None:
    for random, story in stories():
        teller = Teller(ModelWarehouse(BY_TYPE))
        teller.tell(story)
        teller.reconcile(story.export(story.after_all, random))
        assert not teller.model.tombstones
        late = [event.record for event in story.events]
        random.shuffle(late)
        teller.deliver(Deliver(tuple(late)))  # also what the feed had lost
        assert not teller.model.tombstones
        truth = {key_of(item, BY_TYPE): plain_item(item) for item in story.export(story.after_all).items}
        for target in BY_TYPE.targets:
            rows = {key: row.attributes for key, row in teller.model.tables[target.table].items()}
            wanted = {k: i for k, i in truth.items() if takes(target, to_item(i))}
            assert is_same(rows, wanted)


def test_a_reconcile_with_the_same_export_again_changes_nothing() -> None:
    for _, story in stories():
        model = ModelWarehouse(BY_TYPE)
        for step in story.steps:
            if isinstance(step, Deliver):
                model.merge(step.records)
            elif all(step.as_of - MARGIN >= floor for floor in model.floors.values()):
                model.reconcile(step.items, as_of=step.as_of)
                before = repr(state(model))
                again = model.reconcile(step.items, as_of=step.as_of)
                assert not any(verdicts[verdict] for verdicts in again.values() for verdict in REPAIRED)
                assert repr(state(model)) == before


@pytest.mark.parametrize("alone", [True, False], ids=["reconciled alone", "reconciled with the others"])
def test_a_target_added_later_is_complete_after_a_reconcile_and_a_replay(alone: bool) -> None:
    before = replace(BY_TYPE, targets=(CUSTOMERS,))
    for random, story in stories():
        teller = Teller(ModelWarehouse(before))
        added = random.randint(0, len(story.steps))
        teller.tell(replace(story, steps=story.steps[:added]))
        export = next((s for s in story.steps[added:] if isinstance(s, Reconcile) and not teller.is_too_old(s)), None)
        if export is None:
            continue
        at = story.steps.index(export, added)
        for step in story.steps[added:at]:
            if isinstance(step, Deliver):
                teller.deliver(step)
        teller.model = replace(teller.model, source=BY_TYPE)
        teller.told.source = BY_TYPE
        teller.model.reconcile(export.items, as_of=export.as_of, tables=["orders"] if alone else None)
        teller.told.reconcile(export.items, as_of=export.as_of, tables=["orders"] if alone else None)
        again = [r for r in teller.told.records if is_above(change_of(r), export.as_of)]
        random.shuffle(again)
        teller.model.merge(again)
        teller.check_tables()
        teller.tell(replace(story, steps=story.steps[at + 1 :]))


def change_of(record: Record) -> Change:
    ((change,),) = expected([record], BY_TYPE).changes.values()
    return change


# --- every rule is needed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", Rule)
def test_without_a_rule_some_story_ends_in_a_wrong_row(rule: Rule) -> None:
    """The whole model tells the same story rightly, so that it is the rule that was missed."""
    is_apart = rule in (Rule.LOWEST_FLOOR, Rule.TRACES)  # these matter only while floors differ

    def tell(story: Story, number: int, without: frozenset[Rule]) -> None:
        random = Random(number)
        names = [t.table for t in BY_TYPE.targets]
        Teller(ModelWarehouse(BY_TYPE, without)).tell(
            story, choose=lambda: [random.choice(names)] if is_apart else None
        )

    for number, (_, story) in enumerate(stories(4000)):  # the rarest needs thousands
        try:
            tell(story, number, frozenset({rule}))
        except AssertionError:
            tell(story, number, frozenset())
            return
    pytest.fail(f"no story needs the rule: {rule.value}")


def test_without_a_margin_some_story_ends_in_a_wrong_row() -> None:
    """An export that is a minute behind its time undoes what the feed has brought."""
    wrong = {timedelta(): 0, MARGIN: 0}
    for _, story in stories():
        delivered = [r for step in story.steps if isinstance(step, Deliver) for r in step.records]
        if any(event.record not in delivered for event in story.events):
            continue  # what was lost only a later export can tell
        wanted = expected(delivered, BY_TYPE).tables
        for margin in wrong:
            model = ModelWarehouse(BY_TYPE)
            for step in story.steps:
                if isinstance(step, Deliver):
                    model.merge(step.records)
                elif all(step.as_of - margin >= floor for floor in model.floors.values()):
                    model.reconcile(step.items, as_of=step.as_of, margin=margin)
            wrong[margin] += any(model.tables[table].keys() != rows.keys() for table, rows in wanted.items())
    assert wrong[timedelta()] > 0
    assert wrong[MARGIN] == 0


# --- the rules in small --------------------------------------------------------------------------------------


def item(key: str, **attributes: Any) -> Typed:
    return to_item({"PK": key, **attributes})


def change(key: str, sequence: int, at: datetime | None, **attributes: Any) -> Record:
    return stream_record({"PK": key}, attributes or None, sequence=sequence, at=at)


def counts(verdicts: Verdicts, table: str) -> dict[str, int]:
    return {verdict.value: len(keys) for verdict, keys in verdicts[table].items() if keys}


def test_the_verdict_table() -> None:
    model = ModelWarehouse(BY_TYPE)
    old, new = T - timedelta(hours=1), T
    model.merge(
        [
            change("equal", 1, old, Type="Customer", n=1, gone=None),
            change("different", 2, old, Type="Customer", n=1),
            change("extra", 3, old, Type="Customer"),
            change("newer row", 4, new, Type="Customer", n=2),
            change("newer elsewhere", 5, new, Type="Order"),
            change("newer delete", 6, new),
        ]
    )
    export = [
        item("equal", Type="Customer", n=1),
        item("different", Type="Customer", n=2),
        item("missing", Type="Customer"),
        item("newer row", Type="Customer", n=1),
        item("newer elsewhere", Type="Customer"),
        item("newer delete", Type="Customer"),
        item("nobody's", Type="?"),
    ]
    verdicts = model.reconcile(export, as_of=T)
    assert counts(verdicts, "customers") == {"equal": 1, "missing": 1, "extra": 1, "different": 1, "newer": 3}
    assert counts(verdicts, "orders") == {"newer": 1}
    floor = T - MARGIN
    rows = model.tables["customers"]
    assert rows["different",] == Row("", floor, plain_item(export[1]))
    assert rows["missing",] == Row("", floor, plain_item(export[2]))
    assert rows["equal",].changed_at == old
    assert set(rows) == {("equal",), ("different",), ("missing",), ("newer row",)}
    assert set(model.tombstones) == {("newer delete",)}
    assert model.floors == {"customers": floor, "orders": floor}


def test_what_has_no_time_is_never_touched_or_collected() -> None:
    model = ModelWarehouse(BY_TYPE)
    model.merge([change("row", 1, None, Type="Customer"), change("deleted", 2, None)])
    model.tombstones["deleted",] = Tombstone(model.tombstones["deleted",].position, None)
    before = repr((model.tables, model.tombstones))
    verdicts = model.reconcile([item("row", Type="Order"), item("deleted", Type="Customer")], as_of=T)
    assert counts(verdicts, "customers") == {"newer": 2}
    assert counts(verdicts, "orders") == {"newer": 1}
    assert repr((model.tables, model.tombstones)) == before


def test_an_export_older_than_a_floor_is_refused() -> None:
    model = ModelWarehouse(BY_TYPE)
    model.reconcile([item("a", Type="Customer")], as_of=T, tables=["customers"])
    before = repr(state(model))
    with pytest.raises(Refused):
        model.reconcile([], as_of=T - timedelta(microseconds=1))
    assert repr(state(model)) == before
    model.reconcile([item("a", Type="Customer")], as_of=T)


def test_a_change_at_the_floor_is_stale_and_one_above_it_is_not() -> None:
    model = ModelWarehouse(BY_TYPE)
    model.reconcile([item("a", Type="Customer")], as_of=T)
    floor = T - MARGIN
    model.merge([change("a", 1, floor), change("b", 2, floor, Type="Customer")])
    assert set(model.tables["customers"]) == {("a",)}
    assert not model.tombstones
    model.merge([change("a", 3, floor + timedelta(seconds=1)), change("b", 4, T, Type="Customer")])
    assert set(model.tables["customers"]) == {("b",)}
    assert set(model.tombstones) == {("a",)}


def test_a_repaired_row_keeps_older_changes_from_a_target_whose_floor_is_lower() -> None:
    """The item moved to orders, and an update there was lost; the change from before the move comes late."""
    model = ModelWarehouse(BY_TYPE)
    moved = T - timedelta(hours=1)
    model.merge([change("a", 2, moved, Type="Order", v=1)])
    verdicts = model.reconcile([item("a", Type="Order", v=2)], as_of=T, tables=["orders"])
    assert counts(verdicts, "orders") == {"different": 1}
    assert model.tombstones["a",].changed_at == moved
    model.merge([change("a", 1, moved - timedelta(hours=1), Type="Customer")])
    assert not model.tables["customers"]
    model.reconcile([item("a", Type="Order", v=2)], as_of=T)
    assert not model.tombstones
