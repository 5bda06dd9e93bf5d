"""Gathers what `status` tells: how fresh each source is, what waits, and what has become of the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cdc_merge.blanks import Blank, blanks
from cdc_merge.clock import utc_now
from cdc_merge.feed.discovery import Discovery
from cdc_merge.feed.store import open_store
from cdc_merge.layout import Layout
from cdc_merge.ledger import Ledger, SourceState
from cdc_merge.model import ObjectRef, Source
from cdc_merge.quarantine import Quarantine
from cdc_merge.reconcile.estimate import Estimate
from cdc_merge.reconcile.history import Drift, History
from cdc_merge.schema.differences import differences
from cdc_merge.warehouses import Session, Warehouse

_TOTALS = ("records", "applied", "superseded", "stale", "ignored", "quarantined")


@dataclass(frozen=True)
class TargetStatus:
    """One target; counts are sums over all batches. `drift`: what the last reconcile of the source found in it."""

    table: str
    exists: bool
    inserted: int
    updated: int
    deleted: int
    verified_through: datetime | None
    drift: Drift | None


@dataclass(frozen=True)
class ReconcileStatus:
    """The last reconcile of a source: with which export, of which time, and when it was done."""

    export: str
    method: str
    as_of: datetime
    finished_at: datetime


@dataclass(frozen=True)
class ProbeStatus:
    """The drift meter's newest estimate: the share of rows that have drifted, and its 95 % confidence interval."""

    samples: int
    drifted: int
    estimate: float
    lower: float
    upper: float
    first_sample_at: datetime
    last_sample_at: datetime


@dataclass(frozen=True)
class UnmatchedStatus:
    """Items of one entity that no target took, over all batches."""

    entity: str
    items: int
    last_seen_at: datetime


@dataclass(frozen=True)
class MisfitStatus:
    """Rows of one column whose values went to _cdc_rescued, over all batches, with the first of them as a sample.

    `rows`: those that changes brought; some of the changes were stale, and most rows have been replaced since.
    `first_key`: the key's texts as a JSON list. `first_value`: the typed value, cut. Both None: the sample was erased.
    """

    target: str
    column: str
    attribute: str
    rows: int
    first_key: str | None
    first_value: str | None
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True)
class SourceStatus:
    """One source. `backlog` counts objects that wait, `oldest_waiting` is when the oldest was written."""

    source: str
    last_merge: datetime | None
    newest_change: datetime | None
    objects: int
    totals: dict[str, int]
    waiting_in_quarantine: int
    tombstones: int
    holder: str | None
    backlog: int | None
    oldest_waiting: datetime | None
    first_merge: datetime | None
    last_reconcile: ReconcileStatus | None
    probe: ProbeStatus | None
    targets: tuple[TargetStatus, ...]
    unmatched: tuple[UnmatchedStatus, ...]
    misfits: tuple[MisfitStatus, ...]
    blanks: tuple[Blank, ...]
    stopped_by: tuple[str, ...]  # what keeps the source from merging, as its tables and the configuration are now

    def is_stale(self, now: datetime, allowed: timedelta) -> bool:
        """Whether an object has been waiting for longer than allowed."""
        return self.oldest_waiting is not None and now - self.oldest_waiting > allowed

    def is_unverified(self, now: datetime, every: float | None) -> bool:
        """Whether twice `every` seconds went by since the last reconcile; before the first, since the first merge."""
        since = self.last_reconcile.finished_at if self.last_reconcile else self.first_merge
        return every is not None and since is not None and now - since > 2 * timedelta(seconds=every)


def allowed_delay(source: Source) -> timedelta:
    """How long an object may wait before `status --check` calls the source stale: 12 polls, at least a minute."""
    return timedelta(seconds=max(60.0, 12 * source.poll))


class StatusReader:
    """Reads the status of sources through one session."""

    def __init__(self, warehouse: Warehouse, layout: Layout) -> None:
        self._warehouse = warehouse
        self._layout = layout
        self._literal = warehouse.dialect.literal
        self._now = warehouse.dialect.now
        self._rows = warehouse.dialect.quote("rows")  # a word of some engine's
        self._tables = {k: warehouse.dialect.quote(*v.parts) for k, v in layout.metadata.items()}
        self._ledger = Ledger(layout.metadata, warehouse.dialect)
        self._history = History(layout.metadata, warehouse.dialect)
        self._quarantine = Quarantine(layout.metadata, warehouse.dialect)

    def read(self, session: Session, source: Source, *, count_backlog: bool = True) -> SourceStatus:
        """The status of one source; counting the backlog lists its whole prefix."""
        mine = f"source = {self._literal(source.name)}"
        sums = ", ".join(f"coalesce(sum({n}), 0)" for n in _TOTALS)
        books = session.query(
            f"SELECT max(merged_at), max(newest_change_at), min(merged_at), {sums} "
            f"FROM {self._tables['batches']} WHERE {mine}"
        )[0]
        waiting = self._backlog(session, source) if count_backlog else None
        holders = session.query(
            f"SELECT holder FROM {self._tables['leases']} WHERE {mine} AND expires_at > {self._now}"
        )
        state = self._ledger.state(session, source.name, schema=self._layout.schema, targets=source.targets)
        there = state.inspector(self._warehouse.dialect, self._layout.schema)
        last = self._history.last(session, source.name)
        estimate = self._history.estimate(session, source.name)
        return SourceStatus(
            source=source.name,
            last_merge=books[0],
            newest_change=books[1],
            objects=self._count(session, "objects", mine),
            totals={n: int(v) for n, v in zip(_TOTALS, books[3:], strict=True)},
            waiting_in_quarantine=self._quarantine.counts(session).get(source.name, 0),
            tombstones=self._count(session, "tombstones", mine),
            holder=holders[0][0] if holders else None,
            backlog=None if waiting is None else len(waiting),
            oldest_waiting=min((r.modified for r in waiting), default=None) if waiting else None,
            first_merge=books[2],
            last_reconcile=ReconcileStatus(last.export, last.method, last.as_of, last.finished_at) if last else None,
            probe=_probe_status(estimate) if estimate else None,
            targets=self._targets(session, source, state, mine, last.targets if last else {}),
            unmatched=self._unmatched(session, mine),
            misfits=self._misfits(session, mine),
            blanks=tuple(blanks(session, source, state, dialect=self._warehouse.dialect, schema=self._layout.schema)),
            stopped_by=tuple(f"{d.where}: {d.message}" for d in differences(source, there) if d.stops),
        )

    def _unmatched(self, session: Session, mine: str) -> tuple[UnmatchedStatus, ...]:
        rows = session.query(
            f"SELECT entity, items, last_seen_at FROM {self._tables['unmatched']} WHERE {mine} "
            "ORDER BY items DESC, entity"
        )
        return tuple(UnmatchedStatus(entity, int(items), seen) for entity, items, seen in rows)

    def _misfits(self, session: Session, mine: str) -> tuple[MisfitStatus, ...]:
        rows = session.query(
            f"SELECT target, column_name, attribute, {self._rows}, first_key, first_value, first_seen_at, last_seen_at "
            f"FROM {self._tables['misfits']} WHERE {mine} ORDER BY target, column_name"
        )
        return tuple(MisfitStatus(*row) for row in rows)

    def _count(self, session: Session, table: str, condition: str) -> int:
        return int(session.query(f"SELECT count(*) FROM {self._tables[table]} WHERE {condition}")[0][0])

    def _backlog(self, session: Session, source: Source) -> list[ObjectRef]:
        store = open_store(source.changes)

        def is_merged(refs: Sequence[ObjectRef]) -> set[ObjectRef]:
            return self._ledger.merged(session, source.name, store.bucket, refs)

        return [ref for page in Discovery(store, is_merged, utc_now).full() for ref in page]

    def _targets(
        self, session: Session, source: Source, state: SourceState, mine: str, drifts: Mapping[str, Drift]
    ) -> tuple[TargetStatus, ...]:
        rows = session.query(
            "SELECT t.target, sum(t.inserted), sum(t.updated), sum(t.deleted) "
            f"FROM {self._tables['batch_targets']} AS t JOIN {self._tables['batches']} AS b "
            f"ON b.batch_id = t.batch_id WHERE b.{mine} GROUP BY t.target"
        )
        sums = {target: (int(i), int(u), int(d)) for target, i, u, d in rows}
        return tuple(
            TargetStatus(
                t.table,
                t.table in state.schemas,
                *sums.get(t.table, (0, 0, 0)),
                verified_through=state.floors.get(t.table),
                drift=drifts.get(t.table),
            )
            for t in source.targets
        )


def _probe_status(estimate: Estimate) -> ProbeStatus:
    return ProbeStatus(
        estimate.samples,
        estimate.drifted,
        estimate.ratio,
        *estimate.bounds,
        first_sample_at=estimate.first_at,
        last_sample_at=estimate.last_at,
    )
