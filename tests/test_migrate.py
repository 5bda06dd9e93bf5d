"""The metadata tables: the same on every engine, made once, and never by an older program over a newer one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc_merge import migrate
from cdc_merge.errors import MissingMetadata, WarehouseRefused
from cdc_merge.migrate import METADATA_TABLES, Migration, Migrator, metadata_names, migrations
from cdc_merge.warehouses import Session, Statement, Warehouse, open_warehouse

SCHEMA = 'cdc "merge"'


@pytest.fixture
def warehouse(warehouse_url: str) -> Iterator[Warehouse]:
    warehouse = open_warehouse(warehouse_url)
    yield warehouse
    warehouse.close()


def columns(session: Session, schema: str) -> dict[str, list[str]]:
    """Table → its columns, in order."""
    rows = session.query(
        "SELECT table_name, column_name FROM information_schema.columns "
        f"WHERE table_schema = '{schema}' ORDER BY table_name, ordinal_position"
    )
    tables: dict[str, list[str]] = {}
    for table, column in rows:
        tables.setdefault(table, []).append(column)
    return tables


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    assert [m.version for m in migrations()] == list(range(1, len(migrations()) + 1))


def test_all_migrations_make_every_metadata_table_and_are_then_done(warehouse: Warehouse) -> None:
    migrator = Migrator(warehouse, SCHEMA)
    with warehouse.session() as session:
        assert migrator.pending(session) == list(migrations())
        assert migrator.apply(session) == list(migrations())
        assert migrator.pending(session) == []
        assert migrator.apply(session) == []
        migrator.require(session)
        assert set(columns(session, SCHEMA)) == {*METADATA_TABLES, "migrations"}
        for table in metadata_names(SCHEMA).values():
            session.query(f"SELECT * FROM {warehouse.dialect.quote(*table.parts)}")


def test_both_engines_get_the_same_tables_and_columns(tmp_path: Path, postgres_url: str) -> None:
    made = []
    for url in (f"duckdb:///{tmp_path}/w.duckdb", postgres_url):
        warehouse = open_warehouse(url)
        with warehouse.session() as session:
            Migrator(warehouse, "cdc_merge").apply(session)
            made.append(columns(session, "cdc_merge"))
        warehouse.close()
    assert made[0] == made[1]


def test_what_is_pending_is_told_and_nothing_is_made(warehouse: Warehouse) -> None:
    migrator = Migrator(warehouse, SCHEMA)
    with warehouse.session() as session:
        with pytest.raises(MissingMetadata, match="0001_metadata") as caught:
            migrator.require(session)
        assert caught.value.hint == "cdc-merge migrate"
        assert columns(session, SCHEMA) == {}


def test_an_older_program_keeps_off_newer_metadata(warehouse: Warehouse) -> None:
    migrator = Migrator(warehouse, SCHEMA)
    table = warehouse.dialect.quote(SCHEMA, "migrations")
    with warehouse.session() as session:
        migrator.apply(session)
        session.run([Statement("newer", f"INSERT INTO {table} VALUES (999, '0999_newer', CURRENT_TIMESTAMP)")])
        for verb in (migrator.pending, migrator.apply, migrator.require):
            with pytest.raises(MissingMetadata, match="version 999") as caught:
                verb(session)
            assert "upgrade" in (caught.value.hint or "")


def test_a_migration_that_fails_half_way_leaves_nothing(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations()
    broken = tmp_path / f"{len(known) + 1:04d}_broken.sql"
    broken.write_text("-- Works.\nCREATE TABLE half (a {{ integer }});\nCREATE TABLE {{ leases }} (a {{ integer }});\n")
    all_of_them = (*known, Migration(len(known) + 1, broken.stem, broken))
    monkeypatch.setattr(migrate, "migrations", lambda: all_of_them)
    migrator = Migrator(warehouse, SCHEMA)
    with warehouse.session() as session:
        with pytest.raises(WarehouseRefused) as caught:
            migrator.apply(session)
        assert caught.value.where == f"{broken.stem}, step 2"
        assert migrator.pending(session) == [all_of_them[-1]]
        with pytest.raises(WarehouseRefused):
            session.query("SELECT * FROM half")


def test_two_workers_that_migrate_at_once_both_succeed(postgres_url: str) -> None:
    at_the_gate = threading.Barrier(2)
    results: list[list[Migration]] = []

    def work() -> None:
        warehouse = open_warehouse(postgres_url)
        with warehouse.session() as session:
            migrator = Migrator(warehouse, SCHEMA)
            at_the_gate.wait()
            results.append(migrator.apply(session))
        warehouse.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(m for applied in results for m in applied) == list(migrations())
    assert len(results) == 2


def test_a_user_who_may_not_create_schemas_can_use_one_that_was_made_for_them(superuser_url: str) -> None:
    owner = open_warehouse(superuser_url)
    role = "migrator_of_a_given_schema"
    with owner.session() as session:
        session.run(
            [
                Statement("role", f"CREATE ROLE {role} LOGIN PASSWORD 'secret'"),
                Statement("schema", f"CREATE SCHEMA cdc_merge AUTHORIZATION {role}"),
            ]
        )
    try:
        warehouse = open_warehouse(f"{superuser_url}{'&' if '?' in superuser_url else '?'}user={role}&password=secret")
        with warehouse.session() as session:
            assert session.query("SELECT current_user") == [(role,)]
            assert Migrator(warehouse, "cdc_merge").apply(session) == list(migrations())
            with pytest.raises(WarehouseRefused) as caught:
                Migrator(warehouse, "another").apply(session)
            assert "GRANT" in (caught.value.hint or "")
        warehouse.close()
    finally:
        with owner.session() as session:
            session.run([Statement("owned", f"DROP OWNED BY {role} CASCADE"), Statement("role", f"DROP ROLE {role}")])
        owner.close()
