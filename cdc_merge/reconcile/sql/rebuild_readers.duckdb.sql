-- Views; which of them read a table is not in the catalog, so their texts are looked through.
-- https://duckdb.org/docs/stable/sql/meta/duckdb_table_functions#duckdb_views
SELECT v.schema_name, v.view_name, v.sql
FROM duckdb_views() AS v
WHERE v.database_name = current_database() AND NOT v.internal
ORDER BY v.view_oid
