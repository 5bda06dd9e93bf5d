"""`reconcile --rebuild`: new tables with the columns asked for now, and nothing lost that hung on the old ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from cdc_merge.errors import CdcMergeError, Refused, SchemaMoved, StoreDenied, WarehouseUnavailable
from cdc_merge.exports.manifest import ExportKind
from cdc_merge.model import Column, Condition, Deletes, Evolve, ReconcilePolicy, Target
from cdc_merge.reconcile.hangings import Attached, Comment, Grant, Hangings, View
from cdc_merge.reconcile.refill import Refill
from cdc_merge.reconcile.replacing import Overlap
from cdc_merge.reconcile.swap import fresh_names, grant_changes, notes, refuse_obstacles
from cdc_merge.schema.stored import TargetSchema, TypedColumn
from cdc_merge.stopping import Stop
from cdc_merge.warehouses import open_warehouse
from cdc_merge.warehouses.dialect import POSTGRES
from tests.properties.story import contents
from tests.support.harness import Harness
from tests.support.postgres import OWNER
from tests.support.rebuilding import (  # noqa: F401
    AFTER,
    AS_OF,
    BEFORE,
    EXPORTED,
    FLOOR,
    METADATA,
    MINUTE,
    NAME,
    NOTE,
    NUMERIC,
    SOURCE,
    T0,
    TEXT,
    TOTAL,
    Export,
    change,
    columns,
    counts,
    execute,
    export_by_key,
    image,
    merged,
    orders,
    rebuild,
    rows,
    wants,
)


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return merged(warehouse_url, tmp_path)


# --- what the new table holds -------------------------------------------------------------------------------------


def test_columns_are_renamed_retyped_dropped_and_added_and_newer_rows_get_all_their_values(
    shop: Harness, export: Export
) -> None:
    before = shop.tables()["orders"][("newer",)]
    after = wants(shop, AFTER)

    report = rebuild(after, export(EXPORTED))

    assert counts(report) == (2, 0, 1, 0, 2)
    assert columns(after) == ["pk", "full_name", "total", "city", *METADATA]
    assert rows(after, "full_name", "total", "city", "_cdc_position") == [
        ("a", "n1", 1, "c1", ""),
        ("b", "n2", 2, "c2", ""),
        ("newer", "n4", 4, "c4", before.position),
    ]
    assert after.tables()["orders"][("newer",)].item == {k: _plain(v) for k, v in {"PK": "newer", **image(4)}.items()}
    assert any("lack values" in n for n in report.notes) and any("merged once more" in n for n in report.notes)
    assert after.run().counts.records == 0
    assert after.query(f"SELECT method, newer FROM {after.metadata}.reconciliations") == [("rebuild", 2)]


def _plain(value: Any) -> Any:
    return Decimal(value) if isinstance(value, int) else value


def test_rows_that_lack_values_stay_above_every_older_change(shop: Harness, export: Export) -> None:
    after = wants(shop, AFTER)
    for path in shop.directory.rglob("feed-*"):
        path.unlink()  # by a lifecycle rule, say: nothing can be merged once more

    rebuild(after, export(EXPORTED))
    after.put_records([change("newer", 19, image(9), minute=58.5), change("newer", 20, image(4), minute=59)])

    assert rows(after, "full_name", "city")[2] == ("newer", "n4", None)
    assert after.run().counts.superseded == 1
    assert rows(after, "full_name", "city")[2] == ("newer", "n4", "c4")
    after.put_records([change("newer", 19, image(9), minute=58.5)])
    assert after.run().counts.stale == 1


def test_the_same_columns_make_a_compact_copy_and_nothing_is_merged_again(shop: Harness, export: Export) -> None:
    before = shop.tables()["orders"]

    report = rebuild(shop, export(EXPORTED))

    after = shop.tables()["orders"]
    assert after[("newer",)] == before[("newer",)]
    assert set(after) == {("a",), ("b",), ("newer",)}
    assert (after[("a",)].position, after[("a",)].changed_at) == ("", FLOOR)
    assert report.notes == ()
    assert shop.run().counts.records == 0


def test_a_key_column_can_be_renamed(shop: Harness, export: Export) -> None:
    after = wants(shop, orders(Column("id", ("PK",)), NAME, TOTAL, NOTE))

    assert counts(rebuild(after, export(EXPORTED))) == (2, 0, 1, 0, 2)

    assert columns(after)[:2] == ["id", "name"]
    assert set(after.tables()["orders"]) == {("a",), ("b",), ("newer",)}


def test_columns_can_be_renamed_by_capitals_alone_and_the_history_goes_on(
    warehouse_url: str, tmp_path: Path, export: Export
) -> None:
    before = replace(BEFORE, columns=(Column("id", ("PK",)), NAME, TOTAL), has_history=True)
    shop = Harness(warehouse_url, replace(SOURCE, targets=(before,)), tmp_path / "feed")
    shop.put_records([change("a", 10, image(1))])
    shop.run()
    name = Column("Name", ("Name",), TEXT)
    after = wants(shop, replace(before, columns=(Column("id", ("PK",)), name, TOTAL)))

    assert counts(rebuild(after, export({"a": image(1)}))) == (1, 0, 0, 0, 0)

    assert columns(after) == ["id", "Name", "total", *METADATA]
    after.put_records([change("a", 20, image(2), minute=61)])
    after.run()
    assert after.query(f'SELECT "Name" FROM {after.schema}.orders') == [("n2",)]
    versions = f'SELECT "Name", total FROM {after.schema}.orders_history ORDER BY _cdc_position'
    is_one = shop.url.startswith("duckdb")  # the column of before is the new one
    assert after.query(versions) == [("n1" if is_one else None, "1"), ("n2", "2")]


def test_a_table_that_was_dropped_comes_back_with_what_changed_since(shop: Harness, export: Export) -> None:
    before = shop.tables()["orders"][("newer",)]
    execute(shop, "DROP TABLE {t}")

    report = rebuild(shop, export(EXPORTED))

    assert counts(report) == (0, 3, 0, 0, 1)
    assert shop.tables()["orders"][("newer",)] == before
    assert set(shop.tables()["orders"]) == {("a",), ("b",), ("newer",)}
    assert "orders: its table was gone" in report.notes


@pytest.mark.parametrize(
    ("alter", "found"),
    [
        ("ALTER TABLE {t} DROP COLUMN note", (2, 0, 1, 0, 2)),
        ("ALTER TABLE {t} ALTER COLUMN total TYPE integer USING CAST(total AS integer)", (2, 0, 1, 0, 2)),
        ("ALTER TABLE {t} ADD COLUMN mine integer", (2, 0, 1, 0, 2)),
        ("ALTER TABLE {t} DROP COLUMN _cdc_rescued", (0, 3, 0, 0, 1)),
    ],
)
def test_a_table_that_was_altered_is_made_whole(
    shop: Harness, export: Export, alter: str, found: tuple[int, ...]
) -> None:
    before = shop.tables()["orders"][("newer",)]
    execute(shop, alter.replace(" USING CAST(total AS integer)", "") if "duckdb" in shop.url else alter)

    report = rebuild(shop, export(EXPORTED))

    assert counts(report) == found
    assert columns(shop) == ["pk", "name", "total", "note", *METADATA]
    assert shop.tables()["orders"][("newer",)] == before
    assert rows(shop, "total", "note") == [("a", "1", "x"), ("b", "2", "x"), ("newer", "4", "x")]
    assert ("orders: columns that were added by hand go: mine" in report.notes) == ("ADD COLUMN" in alter)


def test_a_target_that_is_new_beside_others_gets_what_changed_since(shop: Harness, export: Export) -> None:
    more = Target("all_of_it", where=(Condition(("Name",), exists=True),))
    after = wants(shop, BEFORE, more)

    rebuild(after, export(EXPORTED))

    tables = after.tables()
    assert set(tables["all_of_it"]) == {("a",), ("b",), ("newer",)}
    assert tables["all_of_it"][("newer",)].position == tables["orders"][("newer",)].position


# --- what holds it back -------------------------------------------------------------------------------------------


def test_a_dry_run_tells_and_writes_nothing(shop: Harness, export: Export) -> None:
    before = contents(shop)

    report = rebuild(wants(shop, AFTER), export(EXPORTED), dry_run=True)

    assert counts(report) == (2, 0, 1, 0, 2)
    assert any("would be merged once more" in n for n in report.notes)
    assert contents(shop) == before


def test_limits_hold_and_what_is_refused_leaves_everything_as_it_was(shop: Harness, export: Export) -> None:
    before = contents(shop)
    strict = wants(shop, AFTER)
    strict.source = replace(strict.source, reconcile=ReconcilePolicy(max_delete=0.1))
    with pytest.raises(Refused, match="max_delete"):
        rebuild(strict, export(EXPORTED))
    written = [({"PK": {"S": "a"}}, None, 1_767_229_000_000_000)]
    changes = export({}, since=T0, kind=ExportKind.INCREMENTAL, changes=written)
    with pytest.raises(Refused, match="only what changed"):
        rebuild(shop, changes)
    assert contents(shop) == before


class NoWaiting(Stop):
    """Between tries there is a look at the warehouse instead of a pause."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self._look = look

    def wait(self, seconds: float) -> None:
        self._look()


def test_a_rebuild_cut_after_each_of_its_statements_leaves_the_old_table_as_it_was_until_it_is_done(
    shop: Harness, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(
        shop, "CREATE VIEW {s}.v AS SELECT pk FROM {t}", "CREATE INDEX i ON {t} (pk)", "COMMENT ON TABLE {t} IS 'c'"
    )
    monkeypatch.setattr("cdc_merge.patience.TRIES", 100)
    after, before = wants(shop, AFTER), contents(shop)
    done: list[str] = []
    cuts: list[str] = []

    def cut(label: str, _seconds: float) -> None:
        if done or label == "look at floors":
            done.append(label)
        if len(done) > len(cuts) and "record orders" not in cuts:
            cuts.append(label)
            done.clear()
            raise WarehouseUnavailable("cut", where=label)

    def look() -> None:
        assert contents(shop) == before, cuts[-1]

    with closing(open_warehouse(shop.url, observer=cut)) as warehouse:
        report = rebuild(after, export(EXPORTED), warehouse=warehouse, stop=NoWaiting(look))
    assert cuts[0] == "look at floors" and cuts[-1] == "record orders"
    assert {"fill orders", "carry over in orders", "drop orders", "rename to orders", "forget objects"} <= set(cuts)
    assert counts(report) == (2, 0, 1, 0, 2)
    assert rows(after, "full_name", "city") == [("a", "n1", "c1"), ("b", "n2", "c2"), ("newer", "n4", "c4")]


@pytest.mark.parametrize("asked", [{"deletes": Deletes.SOFT}, {"deletes": Deletes.IGNORE}], ids=["soft", "ignore"])
@pytest.mark.parametrize("minute", [1, 59], ids=["before the export", "since"])
def test_rows_of_items_that_are_gone_lose_no_values_unless_that_is_forced(
    warehouse_url: str, tmp_path: Path, export: Export, asked: dict[str, Any], minute: int
) -> None:
    kept = Harness(warehouse_url, replace(SOURCE, targets=(orders(NAME, TOTAL, **asked),)), tmp_path / "feed")
    kept.put_records([change("a", 1, image(1)), change("gone", 2, image(2))])
    kept.put_records([change("gone", 3, None, minute=minute)])
    kept.run()
    there = export({"a": image(1)} | ({"gone": image(2)} if minute == 59 else {}))
    after = wants(kept, orders(NAME, replace(TOTAL, type=NUMERIC), Column("city", ("City",), TEXT), **asked))
    with pytest.raises(Refused, match="1 row of items that are gone would lose the values of total"):
        rebuild(after, there)
    assert ("gone", "n2", "2") in rows(kept, "name", "total")
    report = rebuild(after, there, force=True)
    assert report.overridden and {key for key, *_ in rows(after, "city")} == {"a", "gone"}
    more = wants(kept, orders(NAME, replace(TOTAL, type=NUMERIC), *after.source.targets[0].columns[2:], NOTE, **asked))
    assert not rebuild(more, there).overridden


def test_a_column_that_only_rows_of_items_that_are_gone_have_stays_if_it_is_asked_for(
    warehouse_url: str, tmp_path: Path, export: Export
) -> None:
    soft = Target("orders", deletes=Deletes.SOFT)
    kept = Harness(warehouse_url, replace(SOURCE, targets=(soft,)), tmp_path / "feed")
    kept.put_records([change("a", 1, {"Name": "n"}), change("gone", 2, {"Name": "n", "Legacy": "x"})])
    kept.put_records([change("gone", 3, None, minute=1)])
    kept.run()
    there = export({"a": {"Name": "n"}})
    with pytest.raises(Refused, match="1 row of items that are gone would lose the values of legacy"):
        rebuild(kept, there)
    asked = wants(kept, replace(soft, columns=(Column("legacy", ("Legacy",)),), evolve=Evolve.ADD))
    assert not rebuild(asked, there).overridden
    assert rows(asked, "name", "legacy") == [("a", "n", None), ("gone", "n", "x")]


def test_a_column_without_a_type_stays_where_the_export_has_no_value_for_it(shop: Harness, export: Export) -> None:
    city, never = Column("city", ("City",)), Column("never", ("Never",))
    after = wants(shop, orders(NAME, city, never))
    after.put_records([change("newer", 25, image(4), minute=59.5)])
    after.run()
    bare = {key: {"Name": known["Name"]} for key, known in EXPORTED.items()}
    for path in shop.directory.rglob("feed-*"):
        path.unlink()  # nothing is merged once more, so what was there is what stays

    rebuild(after, export(bare))

    assert columns(after) == ["pk", "name", "city", *METADATA]
    assert rows(after, "city") == [("a", None), ("b", None), ("newer", "c4")]


def test_when_it_ends_before_changes_are_merged_once_more_the_next_worker_merges_them(
    shop: Harness, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_refill: Refill) -> None:
        raise StoreDenied("no")

    monkeypatch.setattr(Refill, "run", fail)
    after = wants(shop, AFTER)
    with pytest.raises(CdcMergeError, match=r"are rebuilt, but(.|\n)*--from 2026-01-01T00:56:00Z"):
        rebuild(after, export(EXPORTED))

    assert rows(after, "full_name", "city")[2] == ("newer", "n4", None)
    after.run()
    assert rows(after, "full_name", "city")[2] == ("newer", "n4", "c4")


def test_a_worker_that_decoded_for_the_old_columns_decodes_anew(shop: Harness, export: Export) -> None:
    after, folder = wants(shop, AFTER), export(EXPORTED)
    late = shop.directory / shop.put_records([change("late", 30, image(7), minute=61)])
    os.utime(late, (0, 0))  # so old that the rebuild does not merge it itself
    failed: list[type[Exception]] = []

    with closing(after.worker()) as worker:
        (source,) = worker.sources
        worker.prepare()
        merge, is_first = source.merger.commit, True

        def commit(*arguments: Any, **options: Any) -> Any:
            nonlocal is_first
            if is_first:
                is_first = False
                rebuild(after, folder)
                source.merger.preparer._source = after.source
            try:
                return merge(*arguments, **options)
            except Exception as error:
                failed.append(type(error))
                raise

        # Decoded for the columns of before; the configuration of after would not fit them.
        source.merger.preparer._source = shop.source
        source.merger.commit = commit  # type: ignore[method-assign]
        list(source.merge_new())
    assert failed == [SchemaMoved]
    assert [r[0] for r in rows(after, "city")] == ["a", "b", "late", "newer"]


# --- what hangs on the table --------------------------------------------------------------------------------------


def test_indexes_comments_and_views_are_kept(shop: Harness, export: Export) -> None:
    execute(
        shop,
        "CREATE INDEX by_total ON {t} (total)",
        "CREATE INDEX by_note ON {t} (note)",
        "COMMENT ON TABLE {t} IS 'all ''orders'''",
        "COMMENT ON COLUMN {t}.name IS 'who'",
        "COMMENT ON COLUMN {t}.note IS 'gone'",
        "COMMENT ON INDEX {s}.by_total IS 'fast'",
        "CREATE VIEW {s}.keys AS SELECT pk, total FROM {t}",
        "CREATE VIEW {s}.more AS SELECT pk FROM {s}.keys",
    )

    report = rebuild(wants(shop, AFTER), export(EXPORTED))

    assert "orders: the index by_note needs a column that is gone" in report.notes
    if shop.url.startswith("duckdb"):
        assert shop.query("SELECT index_name, comment FROM duckdb_indexes()") == [("by_total", "fast")]
        comments = "SELECT comment FROM duckdb_tables() WHERE table_name = 'orders' UNION ALL "
        comments += "SELECT comment FROM duckdb_columns() WHERE table_name = 'orders' "
        comments += "AND comment IS NOT NULL ORDER BY 1"
    else:
        indexes = "SELECT indexname, obj_description(format('%I.%I', schemaname, indexname)::regclass) FROM pg_indexes "
        indexes += "WHERE tablename = 'orders' ORDER BY 1"
        assert shop.query(indexes) == [("by_total", "fast"), ("orders_pkey", None)]
        comments = "SELECT description FROM pg_description WHERE objoid = 'analytics.orders'::regclass "
        comments += "AND classoid = 'pg_class'::regclass ORDER BY objsubid"
    assert shop.query(comments) == [("all 'orders'",), ("who",)]
    assert shop.query(f"SELECT pk FROM {shop.schema}.more ORDER BY 1") == [("a",), ("b",), ("newer",)]
    assert shop.query(f"SELECT total FROM {shop.schema}.keys ORDER BY 1") == [(1,), (2,), (4,)]


@pytest.fixture
def roles(superuser_url: str) -> Iterator[tuple[str, str, str]]:
    """Three roles that go with the test; the database's owner may give its tables to them."""
    names = tuple(f"{urlsplit(superuser_url).path[1:]}_{n}" for n in ("owner", "reader", "other"))
    with closing(psycopg2.connect(superuser_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for one in names:
                cursor.execute(f'CREATE ROLE "{one}"')
                cursor.execute(f'GRANT "{one}" TO {OWNER}')
            yield names  # type: ignore[misc]
            for one in names:
                cursor.execute(f'DROP OWNED BY "{one}" CASCADE')
                cursor.execute(f'DROP ROLE "{one}"')


CATALOG = """
SELECT c.relname, pg_get_userbyid(c.relowner),
    ARRAY(SELECT x::text FROM unnest(coalesce(c.relacl, acldefault('r', c.relowner))) AS x ORDER BY 1),
    c.reloptions::text, t.reloptions::text, c.relpersistence,
    c.relreplident, obj_description(c.oid),
    ARRAY(SELECT (a.attname, a.attacl, col_description(c.oid, a.attnum))::text FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname),
    ARRAY(SELECT (k.conname, pg_get_constraintdef(k.oid), obj_description(k.oid))::text FROM pg_constraint AS k
        WHERE k.conrelid = c.oid ORDER BY k.conname),
    ARRAY(SELECT pg_get_indexdef(i.indexrelid) FROM pg_index AS i WHERE i.indrelid = c.oid ORDER BY 1),
    ARRAY(SELECT pg_get_statisticsobjdef(e.oid) FROM pg_statistic_ext AS e WHERE e.stxrelid = c.oid ORDER BY 1),
    CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END
FROM pg_class AS c LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'v') ORDER BY 1
"""


def test_on_postgres_the_new_table_cannot_be_told_from_the_old_one(
    postgres_url: str, tmp_path: Path, export: Export, roles: tuple[str, str, str]
) -> None:
    owner, reader, other = roles
    shop = merged(postgres_url, tmp_path)
    execute(
        shop,
        f'GRANT USAGE, CREATE ON SCHEMA {{s}} TO "{owner}"',
        f'ALTER TABLE {{t}} OWNER TO "{owner}"',
        f'GRANT SELECT, INSERT ON {{t}} TO "{reader}" WITH GRANT OPTION',
        "GRANT SELECT ON {t} TO PUBLIC",
        f'REVOKE TRUNCATE ON {{t}} FROM "{owner}"',
        f'GRANT UPDATE (name), SELECT (total) ON {{t}} TO "{other}"',
        "ALTER TABLE {t} SET (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false)",
        "ALTER TABLE {t} SET UNLOGGED",
        "ALTER TABLE {t} REPLICA IDENTITY FULL",
        "ALTER TABLE {t} ADD CONSTRAINT short CHECK (length(name) < 100)",
        "ALTER TABLE {t} ADD CONSTRAINT once UNIQUE (name, total)",
        "COMMENT ON CONSTRAINT once ON {t} IS 'per name'",
        "CREATE INDEX ON {t} USING btree (lower(name)) INCLUDE (note) WHERE total <> ''",
        "CREATE STATISTICS {s}.pairs ON name, total FROM {t}",
        "COMMENT ON COLUMN {t}._cdc_position IS 'order'",
        "CREATE VIEW {s}.a2 WITH (security_barrier) AS SELECT pk, upper(name) AS shout FROM {t}",
        "CREATE VIEW {s}.a1 AS SELECT a2.*, o.total FROM {s}.a2 JOIN {t} AS o USING (pk)",
        f'ALTER VIEW {{s}}.a2 OWNER TO "{owner}"',
        f'GRANT SELECT ON {{s}}.a2 TO "{reader}"',
        f'GRANT SELECT (pk) ON {{s}}.a1 TO "{other}"',
        "COMMENT ON VIEW {s}.a2 IS 'loud'",
        "COMMENT ON COLUMN {s}.a2.shout IS 'very'",
        # What new tables are given by default must not be added to what the old one had.
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA {{s}} GRANT DELETE ON TABLES TO "{other}"',
    )
    before = shop.query(CATALOG)

    report = rebuild(shop, export(EXPORTED))

    assert shop.query(CATALOG) == before
    assert report.notes == ()
    assert shop.query("SELECT pk, shout, total FROM analytics.a1 ORDER BY 1")[2] == ("newer", "N4", "4")


def test_on_postgres_the_owner_of_the_table_can_rebuild_it_and_nobody_else(
    superuser_url: str, tmp_path: Path, export: Export, roles: tuple[str, str, str]
) -> None:
    owner, reader, other = roles
    parts = urlsplit(superuser_url)
    url = parts._replace(netloc=f"{owner}:secret@{parts.hostname}:{parts.port}").geturl()
    admin = Harness(superuser_url, SOURCE, tmp_path / "none")
    execute(
        admin,
        f"""ALTER ROLE "{owner}" LOGIN PASSWORD 'secret'""",
        f'GRANT CREATE ON DATABASE "{parts.path[1:]}" TO "{owner}"',
    )
    shop = merged(url, tmp_path)
    execute(shop, "CREATE VIEW {s}.v AS SELECT pk FROM {t}", f'GRANT SELECT ON {{t}}, {{s}}.v TO "{reader}"')
    before = admin.query(CATALOG)
    rebuild(shop, export(EXPORTED))
    assert admin.query(CATALOG) == before

    execute(admin, f'ALTER VIEW {{s}}.v OWNER TO "{other}"')
    with pytest.raises(Refused, match="view v, whose owner"):
        rebuild(shop, export(EXPORTED))
    execute(admin, "DROP VIEW {s}.v", f'ALTER TABLE {{t}} OWNER TO "{other}"', f'GRANT SELECT ON {{t}} TO "{owner}"')
    with pytest.raises(Refused, match="the table belongs to"):
        rebuild(shop, export(EXPORTED))


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (["CREATE MATERIALIZED VIEW {s}.m AS SELECT pk FROM {t}"], "materialized view"),
        (
            [
                "CREATE FUNCTION {s}.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
                "CREATE TRIGGER audit BEFORE UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION {s}.f()",
            ],
            "trigger audit",
        ),
        (
            ["CREATE POLICY mine ON {t} USING (true)", "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY"],
            "policy mine.*row-level",
        ),
        (['CREATE TABLE {s}.lines (pk text COLLATE "C" REFERENCES {t})'], "constraint lines_pk_fkey"),
        (["CREATE PUBLICATION feed FOR TABLE {t}"], "publication feed"),
        (["CREATE RULE r AS ON DELETE TO {t} DO INSTEAD NOTHING"], "rule r"),
        (["CREATE FUNCTION {s}.g() RETURNS SETOF {t} LANGUAGE sql AS 'SELECT * FROM {t}'"], "function analytics.g"),
        (["CREATE TABLE {s}.heir () INHERITS ({t})"], "table analytics.heir"),
        (["CREATE VIEW {s}.v AS SELECT note FROM {t}"], "view v, which needs note"),
        (["CREATE VIEW {s}.v AS SELECT name FROM {t}"], "view v, which needs name"),
    ],
)
def test_on_postgres_what_cannot_be_kept_is_named_and_nothing_is_touched(
    postgres_shop: Harness, export: Export, made: Sequence[str], named: str
) -> None:
    execute(postgres_shop, *made)
    before, catalog = contents(postgres_shop), postgres_shop.query(CATALOG)
    after, folder = wants(postgres_shop, AFTER), export(EXPORTED)

    with pytest.raises(Refused, match=named):
        rebuild(after, folder)

    assert (contents(postgres_shop), postgres_shop.query(CATALOG)) == (before, catalog)
    assert any("would be refused" in note for note in rebuild(after, folder, dry_run=True).notes)


@pytest.fixture
def postgres_shop(postgres_url: str, tmp_path: Path) -> Harness:
    return merged(postgres_url, tmp_path)


def test_on_duckdb_constraints_that_were_added_are_named_and_keys_of_other_tables_are_an_obstacle(
    tmp_path: Path, export: Export
) -> None:
    shop = merged(f"duckdb:///{tmp_path}/warehouse.duckdb", tmp_path)
    execute(shop, "ALTER TABLE {t} ADD PRIMARY KEY (pk)")

    report = rebuild(shop, export(EXPORTED))

    assert report.notes == ("orders: the constraint PRIMARY KEY(pk) cannot be added to a table",)
    execute(shop, "ALTER TABLE {t} ADD PRIMARY KEY (pk)", "CREATE TABLE {s}.lines (pk VARCHAR REFERENCES {t} (pk))")
    before = contents(shop)
    with pytest.raises(Refused, match="foreign key of lines"):
        rebuild(shop, export(EXPORTED, as_of=AS_OF + MINUTE))
    assert contents(shop) == before


# --- what is decided ----------------------------------------------------------------------------------------------


def test_columns_overlap_by_path_and_type_whatever_their_names() -> None:
    stored = TargetSchema(
        ("pk",),
        (TypedColumn("a", ("A",), TEXT), TypedColumn("b", ("B",), TEXT), TypedColumn("c", ("C",), TEXT)),
        ("PK",),
    )
    schema = TargetSchema(
        ("id",),
        (TypedColumn("b", ("A",), TEXT), TypedColumn("c", ("C",), NUMERIC), TypedColumn("d", ("D",), TEXT)),
        ("PK",),
    )
    there = ("pk", "a", "b", "c", *METADATA)

    overlap = Overlap.of(stored, schema, there=there, intact=frozenset(there))

    assert [(old.name, new.name) for old, new in overlap.pairs] == [("a", "b")]
    # `b` is called so in the new table too, but there it is something else; only its name stays.
    assert overlap.kept == {"pk": "id", "a": "b", "b": "b", "c": "c", **{m: m for m in METADATA}}
    assert not overlap.is_whole
    assert Overlap.of(stored, stored, there=there, intact=frozenset(there)).is_whole
    assert not Overlap.of(stored, stored, there=there, intact=frozenset(there) - {"a"}).is_whole


def test_names_of_constraints_are_those_of_a_fresh_table() -> None:
    made = [("_cdc_new_pkey", "p", "pk"), ("_cdc_new_pk_not_null", "n", "pk"), ("mine", "c", "a")]
    assert fresh_names("orders", made, set(), max_bytes=63) == {
        "_cdc_new_pkey": "orders_pkey",
        "_cdc_new_pk_not_null": "orders_pk_not_null",
    }
    assert fresh_names("orders", made[:1], {"orders_pkey"}, max_bytes=63) == {"_cdc_new_pkey": "orders_pkey1"}
    assert fresh_names("ö" * 31, made[:1], set(), max_bytes=63) == {"_cdc_new_pkey": "ö" * 29 + "_pkey"}


ORDERS = ("analytics", "orders")


def test_privileges_change_by_what_is_missing_and_what_is_too_much() -> None:
    wanted = [Grant(ORDERS, None, "ann", "SELECT", True), Grant(ORDERS, "a b", "PUBLIC", "UPDATE", False, False)]
    present = [Grant(ORDERS, None, "ann", "SELECT", False), Grant(ORDERS, None, "bob", "DELETE", False)]

    assert [s.sql for s in grant_changes(wanted, present, POSTGRES)] == [
        'REVOKE SELECT ON TABLE "analytics"."orders" FROM ann',
        'REVOKE DELETE ON TABLE "analytics"."orders" FROM bob',
        'GRANT SELECT ON TABLE "analytics"."orders" TO ann WITH GRANT OPTION',
        'GRANT UPDATE ("a b") ON TABLE "analytics"."orders" TO PUBLIC',
    ]
    assert grant_changes(wanted, wanted, POSTGRES) == []


def test_what_a_swap_does_not_keep_is_said() -> None:
    hangings = Hangings(
        attached=(Attached("INDEX", "i", "CREATE INDEX …", frozenset({"a", "b"}), None),),
        comments=(Comment(ORDERS, "b", "text"),),
        grants=(Grant(ORDERS, "b", "ann", "SELECT", False, by_owner=False),),
        lost=("CHECK((a > 1))",),
    )
    assert notes("orders", hangings, {"a": "a"}) == [
        "orders: the index i needs a column that is gone",
        "orders: the constraint CHECK((a > 1)) cannot be added to a table",
        "orders: the grants on the column b went with it",
        "orders: privileges that other roles had granted are granted by the owner now",
    ]


def test_a_view_of_someone_else_is_an_obstacle() -> None:
    view = View(("x", "v"), "SELECT 1", (), "ann", False, frozenset())
    with pytest.raises(Refused, match="view v, whose owner"):
        refuse_obstacles("orders", Hangings(views=(view,)), {})
