"""Reads what the warehouse remembers: merged objects, what sources and targets are, and the books of batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from cdc_merge.model import ObjectRef, Ordering, Target
from cdc_merge.names import history_table
from cdc_merge.render import Name
from cdc_merge.schema.catalog import Tables, as_in_books, read_tables
from cdc_merge.schema.stored import TargetSchema
from cdc_merge.schema.tables import Inspector
from cdc_merge.warehouses import Dialect, Session

OUTCOMES = ("applied", "superseded", "stale", "ignored", "quarantined")

READABLE_SINCE = 2
"""The migration after which `Ledger.state` can be asked."""


@dataclass(frozen=True)
class SourceState:
    """What earlier batches of a source have settled; `targets` by table name."""

    ordering: Ordering | None = None
    table_arn: str | None = None
    key_tags: tuple[str, ...] | None = None
    schemas: Mapping[str, TargetSchema] = field(default_factory=dict)
    floors: Mapping[str, datetime | None] = field(default_factory=dict)
    schema_exists: bool = False
    columns: Tables = field(default_factory=dict)  # of the tables in `schemas` and their histories, as they are now
    owners: Mapping[str, str] = field(default_factory=dict)  # by table: other sources of this warehouse

    def inspector(self, dialect: Dialect, schema: str) -> Inspector:
        """Holds the tables in `schema`, where targets live, against this."""
        return Inspector(dialect, schema, self.schemas, self.columns, self.key_tags, self.owners)


@dataclass(frozen=True)
class Counts:
    """The books of one or more batches. records = applied + superseded + stale + ignored + quarantined."""

    objects: int = 0
    records: int = 0
    applied: int = 0
    superseded: int = 0
    stale: int = 0
    ignored: int = 0
    quarantined: int = 0
    targets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    newest_change_at: datetime | None = None

    def __add__(self, other: Counts) -> Counts:
        targets = {t: dict(c) for t, c in self.targets.items()}
        for target, changes in other.targets.items():
            mine = targets.setdefault(target, {})
            for change, count in changes.items():
                mine[change] = mine.get(change, 0) + count
        sums = {n: getattr(self, n) + getattr(other, n) for n in ("objects", "records", *OUTCOMES)}
        moments = [m for m in (self.newest_change_at, other.newest_change_at) if m]
        return Counts(**sums, targets=targets, newest_change_at=max(moments, default=None))

    def as_dict(self) -> dict[str, object]:
        numbers: dict[str, object] = {n: getattr(self, n) for n in ("objects", "records", *OUTCOMES)}
        return {**numbers, "targets": {t: dict(c) for t, c in self.targets.items()}}


class Ledger:
    """Queries on the metadata tables; each method takes an open session."""

    def __init__(self, metadata: Mapping[str, Name], dialect: Dialect) -> None:
        self._dialect = dialect
        self._tables = {k: dialect.quote(*v.parts) for k, v in metadata.items()}

    def state(self, session: Session, source: str, *, schema: str, targets: Sequence[Target] = ()) -> SourceState:
        """What is known of a source, all unknown before its first batch; `schema` is where targets live.

        `targets`: those of the configuration, of which it is asked, too, whether their names are taken.
        """
        name = self._dialect.literal(source)
        learned = session.query(
            f"SELECT ordering, key_types, table_arn FROM {self._tables['sources']} WHERE source = {name}"
        )
        kept = f"SELECT target, columns, floor_at FROM {self._tables['targets']} WHERE source = {name}"
        rows = session.query(kept)
        schemas = {target: TargetSchema.from_json(columns) for target, columns, _ in rows}
        others = session.query(f"SELECT target, source FROM {self._tables['targets']} WHERE source <> {name}")
        owners: dict[str, str] = dict(others)
        tables = {*schemas, *(t.table for t in targets)}
        tables |= {history_table(t) for t, schema in schemas.items() if schema.has_history}
        tables |= {history_table(t.table) for t in targets if t.has_history}
        state = SourceState(
            ordering=Ordering(learned[0][0]) if learned and learned[0][0] else None,
            table_arn=learned[0][2] if learned else None,
            key_tags=tuple(learned[0][1].split()) if learned else None,
            schemas=schemas,
            floors={target: floor for target, _, floor in rows},
            schema_exists=bool(
                session.query(
                    self._dialect.schema_exists.format(name=self._dialect.literal(self._dialect.in_catalog(schema)))
                )
            ),
            columns=as_in_books(read_tables(session, self._dialect, schema, tables), schemas, self._dialect),
            owners=owners,
        )
        # The books and the catalog are asked one after the other: a worker may have made the tables in between.
        strange = any(t.table not in schemas and state.columns.get(t.table) for t in targets)
        if strange and session.query(kept) != rows:
            return self.state(session, source, schema=schema, targets=targets)
        return state

    def merged(self, session: Session, source: str, bucket: str, refs: Sequence[ObjectRef]) -> set[ObjectRef]:
        """Which of the object versions are in the ledger."""
        if not refs:
            return set()
        listed = pa.table({"object_key": [r.key for r in refs], "version": [r.version for r in refs]})
        session.load("_cdc_listed", listed.to_reader())
        rows = session.query(
            f"SELECT o.object_key, o.version FROM {self._tables['objects']} AS o "
            "JOIN _cdc_listed AS s ON o.object_key = s.object_key AND o.version = s.version "
            f"WHERE o.source = {self._dialect.literal(source)} AND o.bucket = {self._dialect.literal(bucket)}"
        )
        known = set(rows)
        return {r for r in refs if (r.key, r.version) in known}

    def counts(self, session: Session, batch_id: str) -> Counts | None:
        """The books of a batch; None: it did not commit."""
        number = self._dialect.literal(batch_id)
        rows = session.query(
            f"SELECT newest_change_at, objects, records, {', '.join(OUTCOMES)} "
            f"FROM {self._tables['batches']} WHERE batch_id = {number}"
        )
        if not rows:
            return None
        targets = session.query(
            f"SELECT target, inserted, updated, deleted FROM {self._tables['batch_targets']} "
            f"WHERE batch_id = {number} ORDER BY target"
        )
        newest, *numbers = rows[0]
        return Counts(
            **dict(zip(("objects", "records", *OUTCOMES), map(int, numbers), strict=True)),
            newest_change_at=newest,
            targets={t: {"inserted": i, "updated": u, "deleted": d} for t, i, u, d in targets},
        )

    def reconciled(self, reconciliation: str) -> str:
        """The query that has rows if a reconcile has committed."""
        number = self._dialect.literal(reconciliation)
        return f"SELECT 1 FROM {self._tables['reconciliations']} WHERE reconciliation_id = {number}"

    def unmatched_entities(self, session: Session, source: str) -> frozenset[str]:
        """The entities of which no target took some items, in earlier batches."""
        name = self._dialect.literal(source)
        rows = session.query(f"SELECT entity FROM {self._tables['unmatched']} WHERE source = {name}")
        return frozenset(entity for (entity,) in rows)

    def newest_change(self, session: Session, source: str) -> datetime | None:
        """When the newest change that was ever merged was made."""
        name = self._dialect.literal(source)
        moment: datetime | None = session.query(
            f"SELECT max(newest_change_at) FROM {self._tables['batches']} WHERE source = {name}"
        )[0][0]
        return moment

    def quarantined(self, session: Session, source: str) -> int:
        """How many entries wait in quarantine."""
        name = self._dialect.literal(source)
        return int(session.query(f"SELECT count(*) FROM {self._tables['quarantine']} WHERE source = {name}")[0][0])
