"""Reads what reconciles and probes have left in the metadata, and writes the newest estimate of drift there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cdc_merge.reconcile.estimate import Estimate
from cdc_merge.render import Name, render
from cdc_merge.warehouses import Dialect, Session, Statement


@dataclass(frozen=True)
class Drift:
    """What one target was like at a reconcile, in rows."""

    equal: int
    missing: int
    extra: int
    different: int
    newer: int
    repaired: int


@dataclass(frozen=True)
class Reconciled:
    """A reconcile that was committed; `targets` by table."""

    export: str
    method: str
    as_of: datetime
    finished_at: datetime
    targets: Mapping[str, Drift]


class History:
    """Queries on the metadata tables; each method takes an open session."""

    def __init__(self, metadata: Mapping[str, Name], dialect: Dialect) -> None:
        self._dialect = dialect
        self._metadata = metadata
        self._tables = {k: dialect.quote(*v.parts) for k, v in metadata.items()}

    def _is_of(self, source: str) -> str:
        return f"source = {self._dialect.literal(source)}"

    def last(self, session: Session, source: str) -> Reconciled | None:
        """The reconcile that finished last; None: there was none yet."""
        table, mine = self._tables["reconciliations"], self._is_of(source)
        rows = session.query(
            "SELECT export, method, as_of, finished_at, target, equal_rows, missing, extra, different, newer, repaired "
            f"FROM {table} WHERE {mine} AND reconciliation_id = ("
            f"SELECT reconciliation_id FROM {table} WHERE {mine} ORDER BY finished_at DESC LIMIT 1)"
        )
        if not rows:
            return None
        export, method, as_of, *_ = rows[0]
        targets = {row[4]: Drift(*map(int, row[5:])) for row in rows}
        return Reconciled(export, method, as_of, max(row[3] for row in rows), targets)

    def floors(self, session: Session, source: str) -> dict[str, datetime | None]:
        """Up to when each target is verified, by table."""
        table = self._tables["targets"]
        return dict(session.query(f"SELECT target, floor_at FROM {table} WHERE {self._is_of(source)}"))

    def estimate(self, session: Session, source: str) -> Estimate | None:
        """The newest estimate of the drift meter."""
        rows = session.query(
            "SELECT samples, drifted, first_sample_at, last_sample_at "
            f"FROM {self._tables['probes']} WHERE {self._is_of(source)}"
        )
        return Estimate(int(rows[0][0]), int(rows[0][1]), rows[0][2], rows[0][3]) if rows else None

    def record_estimate(self, session: Session, source: str, estimate: Estimate, *, worker: str) -> None:
        """Put a new estimate in the place of the one before."""
        lower, upper = estimate.bounds
        former = f"DELETE FROM {self._tables['probes']} WHERE {self._is_of(source)}"
        statements = [] if self._dialect.has_upsert else [Statement("forget probe", former)]
        sql = render(
            "reconcile/sql/record_probe.sql",
            self._dialect,
            probes=self._metadata["probes"],
            source=source,
            samples=estimate.samples,
            drifted=estimate.drifted,
            # as text, which the engine casts exactly
            estimate=repr(estimate.ratio),
            lower=repr(lower),
            upper=repr(upper),
            first_at=estimate.first_at,
            last_at=estimate.last_at,
            worker=worker,
        )
        session.run([*statements, Statement("record probe", sql)])
