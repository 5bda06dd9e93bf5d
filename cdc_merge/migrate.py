"""Creates and upgrades the metadata tables from the numbered SQL files in migrations/."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cdc_merge.errors import MissingMetadata
from cdc_merge.model import Kind
from cdc_merge.render import Name, Sql, name, render_file
from cdc_merge.warehouses import Session, Statement, Warehouse

METADATA_TABLES = (
    "sources",
    "targets",
    "objects",
    "batches",
    "batch_targets",
    "tombstones",
    "quarantine",
    "leases",
    "reconciliations",
    "probes",
    "unmatched",
    "misfits",
    "history_events",
    "turns",
)

_STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)

# Said again after a crash, or by another worker: https://docs.snowflake.com/en/sql-reference/transactions#ddl
_CREATE = re.compile(r"^(CREATE TABLE|ALTER TABLE \S+ ADD COLUMN)", re.MULTILINE)


def metadata_names(metadata_schema: str) -> dict[str, Name]:
    """The qualified name of every metadata table, by its plain name."""
    return {table: name(metadata_schema, table) for table in METADATA_TABLES}


@dataclass(frozen=True, order=True)
class Migration:
    """One numbered file, `0001_metadata.sql`: version 1, name `0001_metadata`."""

    version: int
    name: str
    path: Path


@cache
def migrations() -> tuple[Migration, ...]:
    """All that this version of the program knows, oldest first."""
    package = Path(__file__).parent
    # Beside the modules in an installed package, at the top of a checkout.
    folder = next(f for f in (package / "migrations", package.parent / "migrations") if f.is_dir())
    return tuple(sorted(Migration(int(f.stem.split("_")[0]), f.stem, f) for f in folder.glob("*.sql")))


class _AppliedByAnother(Exception):
    """Another worker applied the migration between our look and our lock."""


class Migrator:
    """Brings the metadata schema of a warehouse up to date; each migration is one transaction."""

    def __init__(self, warehouse: Warehouse, metadata_schema: str) -> None:
        self._dialect = warehouse.dialect
        self._schema = metadata_schema
        self._where = f"schema {metadata_schema} in {warehouse.name}"
        self._table = self._dialect.quote(metadata_schema, "migrations")

    def pending(self, session: Session) -> list[Migration]:
        """What is not applied yet, oldest first; changes nothing.

        Raises MissingMetadata for a schema that a newer version of the program has made.
        """
        applied = self._applied(session)
        known = migrations()
        if applied and max(applied) > known[-1].version:
            raise MissingMetadata(
                f"the metadata tables are of version {max(applied)}, this program knows {known[-1].version}",
                where=self._where,
                hint="upgrade cdc-merge on this machine: pip install --upgrade cdc-merge",
            )
        return [m for m in known if m.version not in applied]

    def has_none(self, session: Session) -> bool:
        """Whether there are no metadata tables at all. Raises MissingMetadata for those of another version."""
        if len(self.pending(session)) == len(migrations()):
            return True
        self.require(session)
        return False

    def require(self, session: Session) -> None:
        """Raises MissingMetadata unless everything is applied."""
        if pending := self.pending(session):
            raise MissingMetadata(
                f"the metadata tables are not up to date: {', '.join(m.name for m in pending)}",
                where=self._where,
                hint="cdc-merge migrate",
            )

    def apply(self, session: Session) -> list[Migration]:
        """Apply what is pending; returns what this call applied. Workers that do it at once take turns."""
        applied = []
        if self.pending(session):
            session.run([*self._take_turns(), *self._foundation(session)])
        while pending := self.pending(session):
            try:
                session.run(self._statements(pending[0]))
            except _AppliedByAnother:
                continue
            applied.append(pending[0])
        return applied

    def _applied(self, session: Session) -> set[int]:
        schema, table = (self._dialect.literal(self._dialect.in_catalog(n)) for n in (self._schema, "migrations"))
        tables = session.query(
            "SELECT table_name FROM information_schema.tables "
            f"WHERE table_schema = {schema} AND table_name = {table} "
            "AND table_catalog = current_database()"
        )
        if not tables:
            return set()
        return {int(version) for (version,) in session.query(f"SELECT version FROM {self._table}")}

    def _take_turns(self) -> list[Statement]:
        """The first statements of a migrating transaction."""
        form = self._dialect.take_turns
        if form is None:
            return []
        return [Statement("take turns", form.format(self._dialect.literal(f"cdc-merge migrate {self._schema}")))]

    def _foundation(self, session: Session) -> list[Statement]:
        types = self._dialect.types
        statements = [
            Statement(
                "create migrations",
                f"CREATE TABLE IF NOT EXISTS {self._table} ("
                f"version {types[Kind.INTEGER]} NOT NULL PRIMARY KEY, "
                f"name {types[Kind.TEXT]} NOT NULL, "
                f"applied_at {types[Kind.TIMESTAMP]} NOT NULL)",
            )
        ]
        # Only when it is missing: Postgres wants the right to create schemas even where IF NOT EXISTS would do
        # nothing, and an administrator may have made the schema. https://www.postgresql.org/docs/current/sql-createschema.html
        schema = self._dialect.literal(self._dialect.in_catalog(self._schema))
        if not session.query(self._dialect.schema_exists.format(name=schema)):
            create = f"CREATE SCHEMA IF NOT EXISTS {self._dialect.quote(self._schema)}"
            statements.insert(0, Statement("create metadata schema", create))
        return statements

    def _statements(self, migration: Migration) -> list[Statement]:
        version, literal = migration.version, self._dialect.literal
        record = Statement(
            f"record {migration.name}",
            f"INSERT INTO {self._table} (version, name, applied_at) "
            f"SELECT {version}, {literal(migration.name)}, {self._dialect.now} "
            f"WHERE NOT EXISTS (SELECT 1 FROM {self._table} WHERE version = {version})",
            expect_rows=1,
            mismatch=_AppliedByAnother,
            lock=lock.format(self._table) if (lock := self._dialect.lock_table) else None,
        )
        steps = [
            Statement(f"{migration.name}, step {number}", sql)
            for number, sql in enumerate(self._split(migration), start=1)
        ]
        return [*self._take_turns(), record, *steps]

    def _split(self, migration: Migration) -> list[str]:
        types = self._dialect.types
        script = render_file(
            migration.path,
            self._dialect,
            **metadata_names(self._schema),
            text=Sql(f"{types[Kind.TEXT]} {self._dialect.byte_order}".strip()),
            integer=Sql(types[Kind.INTEGER]),
            double=Sql(types[Kind.DOUBLE]),
            timestamp=Sql(types[Kind.TIMESTAMP]),
            binary=Sql(types[Kind.BINARY]),
        )
        parts = [part.strip() for part in _STATEMENT_END.split(script) if part.strip()]
        return [_CREATE.sub(r"\1 IF NOT EXISTS", p, count=1) for p in parts] if self._dialect.ddl_commits else parts


__all__ = ["METADATA_TABLES", "Migration", "Migrator", "metadata_names", "migrations"]
