"""What people set of single columns, and views that DuckDB binds only when they are read, through a rebuild."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_merge.errors import Refused
from cdc_merge.reconcile.hangings import is_named
from tests.properties.story import contents
from tests.reconcile.test_rebuild import shop  # noqa: F401
from tests.support.harness import Harness
from tests.support.rebuilding import (  # noqa: F401
    AFTER,
    EXPORTED,
    Export,
    execute,
    export_by_key,
    image,
    merged,
    rebuild,
    wants,
)

SETTINGS = """
SELECT a.attname, a.attstattarget, a.attstorage, a.attcompression, a.attoptions, pg_get_expr(f.adbin, f.adrelid)
FROM pg_attribute AS a LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
WHERE a.attrelid = 'analytics.orders'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1
"""
CLUSTERED = """
SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'analytics.orders'::regclass AND indisclustered
"""


@pytest.mark.parametrize("index", ["by_name", "orders_pkey"])
def test_on_postgres_what_was_set_of_columns_is_kept(
    postgres_url: str,
    tmp_path: Path,
    export: Export,
    index: str,
) -> None:
    shop = merged(postgres_url, tmp_path)  # noqa: F811
    execute(
        shop,
        "ALTER TABLE {t} ALTER COLUMN pk SET STATISTICS 500",
        "ALTER TABLE {t} ALTER COLUMN name SET STORAGE EXTERNAL",
        "ALTER TABLE {t} ALTER COLUMN note SET COMPRESSION pglz",
        "ALTER TABLE {t} ALTER COLUMN name SET (n_distinct = -0.5, n_distinct_inherited = 7)",
        "ALTER TABLE {t} ALTER COLUMN note SET DEFAULT 'it''s ' || 'none'",
        "ALTER TABLE {t} ALTER COLUMN _cdc_merged_at SET DEFAULT now()",
        "CREATE INDEX by_name ON {t} (name)",
        f"ALTER TABLE {{t}} CLUSTER ON {index}",
    )
    settings, clustered = shop.query(SETTINGS), shop.query(CLUSTERED)

    report = rebuild(shop, export(EXPORTED))

    assert (shop.query(SETTINGS), shop.query(CLUSTERED)) == (settings, clustered)
    assert clustered == [(f"analytics.{index}",)]
    assert report.notes == ()


def test_on_postgres_the_new_table_is_known_as_well_as_any_other(
    postgres_url: str,
    tmp_path: Path,
    export: Export,
) -> None:
    shop = merged(postgres_url, tmp_path)  # noqa: F811
    rebuild(shop, export({f"k{number}": image(number) for number in range(300)}))
    bounds = "SELECT cardinality(CAST(CAST(histogram_bounds AS text) AS text[])) FROM pg_stats"
    assert shop.query(f"{bounds} WHERE tablename = 'orders' AND attname = 'pk'") == [(101,)]


def test_what_was_set_of_a_column_that_goes_or_is_retyped_is_named(shop: Harness, export: Export) -> None:  # noqa: F811
    execute(
        shop,
        "ALTER TABLE {t} ALTER COLUMN name SET DEFAULT 'n'",
        "ALTER TABLE {t} ALTER COLUMN total SET DEFAULT 't'",
        "ALTER TABLE {t} ALTER COLUMN note SET DEFAULT 'x'",
    )
    if not shop.url.startswith("duckdb"):
        execute(shop, "CREATE INDEX by_note ON {t} (note)", "ALTER TABLE {t} CLUSTER ON by_note")

    report = rebuild(wants(shop, AFTER), export(EXPORTED))

    lost = [n for n in report.notes if n.endswith("is not kept")]
    assert [n.split("of the column ")[1] for n in lost] == ["total is not kept", "note is not kept"]
    if not shop.url.startswith("duckdb"):
        assert "orders: it is not clustered on by_note any more" in report.notes
    found = shop.query(
        "SELECT column_name, column_default FROM information_schema.columns WHERE table_schema = 'analytics' "
        "AND table_name = 'orders' AND column_default IS NOT NULL"
    )
    assert [column for column, _ in found] == ["full_name"]


def test_on_duckdb_a_view_that_could_not_be_read_any_more_is_named_and_nothing_is_touched(
    tmp_path: Path,
    export: Export,
) -> None:
    shop = merged(f"duckdb:///{tmp_path}/warehouse.duckdb", tmp_path)  # noqa: F811
    execute(
        shop,
        "CREATE VIEW {s}.fine AS SELECT pk, total, 'name' AS what FROM {t}",
        "CREATE VIEW {s}.everything AS SELECT * FROM {t}",
        "CREATE VIEW {s}.names AS SELECT name FROM {s}.everything",
    )
    after = wants(shop, AFTER)
    before = contents(shop)

    with pytest.raises(Refused, match=r"the view analytics\.names cannot be read") as refused:
        rebuild(after, export(EXPORTED))

    assert refused.value.hint == "drop it, rebuild, and create it anew"
    assert contents(shop) == before
    dry = rebuild(after, export(EXPORTED), dry_run=True)
    assert "orders: if the view names needs name, this would be refused" in dry.notes
    execute(
        shop,
        "DROP VIEW {s}.names",
        # One that is of no concern.
        "CREATE TABLE {s}.other (x INTEGER)",
        "CREATE VIEW {s}.broken AS SELECT x FROM {s}.other",
        "DROP TABLE {s}.other",
    )
    rebuild(after, export(EXPORTED))
    assert shop.query("SELECT pk, total FROM analytics.fine ORDER BY 1")[0] == ("a", 1)


def test_a_name_is_found_as_a_word() -> None:
    assert is_named("orders", 'SELECT 1 FROM a."Orders";')
    assert not is_named("orders", "SELECT 1 FROM a.reorders, a.orders_2")
