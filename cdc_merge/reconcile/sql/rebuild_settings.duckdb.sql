-- Defaults that people gave to columns, as the ALTER COLUMN that sets each.
-- https://duckdb.org/docs/stable/sql/meta/duckdb_table_functions#duckdb_columns
SELECT c.column_name, 'SET DEFAULT ' || c.column_default
FROM duckdb_columns() AS c
WHERE c.database_name = current_database()
    AND c.schema_name = {{ schema }}
    AND c.table_name = {{ name }}
    AND nullif(c.column_default, 'NULL') IS NOT NULL
ORDER BY c.column_index
