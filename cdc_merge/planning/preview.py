"""Shows what differs between configuration and warehouse, and what a merge would run, as text or data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from cdc_merge.backlog import Backlog
from cdc_merge.layout import Layout
from cdc_merge.ledger import OUTCOMES, SourceState
from cdc_merge.merge.plan import Batch, MergePlan
from cdc_merge.model import Evolve, Load, Source
from cdc_merge.planning.rehearsal import Rehearsal
from cdc_merge.planning.typed_view import Attributes, has_views, typed_view
from cdc_merge.raw.fitness import reasons_of
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.differences import Difference, differences
from cdc_merge.warehouses import Dialect, Statement
from cdc_merge.warehouses.foresight import in_order
from cdc_merge.words import count

_NOW = datetime(2000, 1, 1, tzinfo=UTC)  # a stand-in, so that the same plan prints the same text


@dataclass(frozen=True)
class Preview:
    """What is to be said of a source: `ddl` that the next batch would run, `merge` of every batch.

    Both are empty where a difference stops the source. `views`: proposals for typed access to documents, which nothing
    but a person runs. `waiting` None: nobody counted; `rehearsal` None: nobody tried, or the source is stopped.
    """

    source: str
    differences: tuple[Difference, ...]
    waiting: Backlog | None
    ddl: tuple[Statement, ...]
    merge: tuple[Statement, ...]
    unknown: tuple[str, ...]  # columns whose type only data can tell
    road: tuple[str, ...]  # why the worker decodes the batches, though the warehouse is asked to
    views: tuple[Statement, ...]
    rehearsal: Rehearsal | None = None

    @property
    def is_stopped(self) -> bool:
        return any(d.stops for d in self.differences)

    def as_text(self, *, with_sql: bool) -> str:
        """SQL one can paste, each statement under its label; all else is in comments."""
        lines = [f"-- source {self.source}"]
        if self.waiting:
            lines.append(f"-- {_waits(self.waiting)}")
        if self.rehearsal:
            lines += _foreseen(self.rehearsal, self.waiting)
        lines += _said(
            self.differences, is_idle=self.waiting is not None and self.waiting.is_all and not self.waiting.objects
        )
        lines += [f"-- {u}" for u in self.unknown]
        lines += [f"-- load: warehouse: the worker decodes the batches: {why}" for why in self.road]
        for statement in (*self.ddl, *((*self.merge, *self.views) if with_sql else ())):
            lines.append(f"\n-- {statement.title}\n{statement.sql};")
        return "\n".join(lines)

    def as_dict(self, *, with_sql: bool) -> dict[str, object]:
        document: dict[str, object] = {
            "source": self.source,
            "stopped": self.is_stopped,
            "waiting": asdict(self.waiting) if self.waiting else None,
            "rows": self.rehearsal.as_dict() if self.rehearsal else None,
            "differences": [asdict(d) for d in self.differences],
            "ddl": _labelled(self.ddl),
            "unknown": list(self.unknown),
            "worker_decodes": list(self.road),
        }
        if with_sql:
            document["merge"] = _labelled(self.merge)
            document["views"] = _labelled(self.views)
        return document


def _said(found: Sequence[Difference], *, is_idle: bool) -> Iterator[str]:
    if not found:
        yield "-- the tables are as the configuration asks"
    if any(d.stops for d in found):
        idle = "; as nothing waits, a run has nothing to stop at yet" if is_idle else ""
        yield f"-- the source is STOPPED: nothing is merged until what is marked with ! is mended{idle}"
    for d in found:
        yield f"-- {'!' if d.stops else ' '} {d.where}: {d.change}: {d.message}"
        yield f"--     {d.cure}"


def _waits(waiting: Backlog) -> str:
    if waiting.trouble:
        return f"the feed cannot be listed: {waiting.trouble}"
    least = "" if waiting.is_all else "at least "
    verb = "waits" if waiting.objects == 1 else "wait"
    return f"{least}{count(waiting.objects, 'object')} ({waiting.bytes:,} bytes) {verb} to be merged"


def _foreseen(rehearsal: Rehearsal, waiting: Backlog | None) -> Iterator[str]:
    is_all = waiting is not None and waiting.is_all and waiting.objects == rehearsal.objects
    these = "they"
    if rehearsal.objects and not is_all:
        these = f"the first {rehearsal.objects:,} of them ({rehearsal.bytes:,} bytes)"
    if rehearsal.trouble:
        yield f"-- {these} cannot be merged: {rehearsal.trouble}"
        if rehearsal.cure:
            yield f"--     {rehearsal.cure}"
    elif (counts := rehearsal.counts) and rehearsal.objects:
        outcomes = ", ".join(f"{getattr(counts, outcome):,} {outcome}" for outcome in OUTCOMES)
        yield f"-- {these} hold {count(counts.records, 'record')}: {outcomes}"
        for target, rows in counts.targets.items():
            yield f"--   {target}: {', '.join(f'{count:,} {change}' for change, count in rows.items())}"


def _labelled(statements: Sequence[Statement]) -> list[dict[str, object]]:
    return [{"label": s.label, "sql": s.sql, "is_conditional": s.only_if is not None} for s in statements]


def preview_on_empty(source: Source, dialect: Dialect, layout: Layout) -> Preview:
    """The plan of a source on an empty warehouse of an engine; nothing is asked."""
    return preview(source, dialect, layout, None)


def preview(
    source: Source,
    dialect: Dialect,
    layout: Layout,
    state: SourceState | None,
    *,
    waiting: Backlog | None = None,
    documents: Mapping[str, Attributes] | None = None,
) -> Preview:
    """The plan of a source. Key attributes count as text until a first batch has shown their type.

    `documents`: the attributes seen in targets with `columns: document`, by table.
    """
    state = state or SourceState()
    there = state.inspector(dialect, layout.schema)
    found = tuple(differences(source, there))
    if any(d.stops for d in found):
        return Preview(source.name, found, waiting, (), (), (), (), ())
    books = there.open_books(source)
    plan = MergePlan(
        dialect,
        layout,
        books,
        state.key_tags or tuple("S" for _ in source.key),
        removed=there.left_behind(source),
    )
    batch = Batch("(batch)", source.name, "(worker)", _NOW, None, 0, 0, 0, 0)
    seen = documents or {}
    merge = (*plan.record_objects(batch, again=False), plan.record_quarantine(batch), *plan.merge(batch))
    return Preview(
        source.name,
        found,
        waiting,
        tuple(plan.ddl(schema_exists=state.schema_exists)),
        tuple(in_order(merge)) if dialect.ddl_commits else merge,
        tuple(_unknown(books)),
        tuple(reasons_of(source, dialect, layout, state)) if source.load is Load.WAREHOUSE else (),
        tuple(
            typed_view(b, layout, seen.get(b.target.table, {}))
            for b in books
            if b.target.is_document and has_views(dialect)
        ),
    )


def _unknown(books: Sequence[SchemaBook]) -> Iterator[str]:
    """What of a new table is known only when values are seen; for tables that are there, the differences tell it."""
    for book in books:
        table = book.target.table
        if book.stored is None:
            for column in book.pending:
                yield f"{table}: column {column.name} is created when a value first shows its type"
        if book.target.evolve is Evolve.FAIL:
            yield f"{table}: an attribute without a column stops the source; whether one waits: cdc-merge plan --rows"
        if book.target.is_document or not book.adds_attributes:
            continue
        which = "every attribute" if book.target.columns is None else "every attribute that no column has"
        yield f"{table}: {which} becomes a column as it is first seen"
