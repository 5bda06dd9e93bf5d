-- What the catalog says of some tables, and whether one has a unique index or constraint:
-- https://duckdb.org/docs/stable/sql/meta/duckdb_table_functions
SELECT
    c.table_name, c.column_name, c.data_type, c.numeric_precision, c.numeric_scale,
    NOT c.is_nullable AND c.column_default IS NULL,
    FALSE,
    EXISTS (
        SELECT 1 FROM duckdb_constraints() AS u
        WHERE u.table_oid = c.table_oid AND u.database_oid = c.database_oid AND u.constraint_type IN ('PRIMARY KEY', 'UNIQUE')
    ) OR EXISTS (
        SELECT 1 FROM duckdb_indexes() AS i
        WHERE i.table_oid = c.table_oid AND i.database_oid = c.database_oid AND i.is_unique
    )
FROM duckdb_columns() AS c
WHERE c.database_name = current_database()
    AND c.schema_name = {{ schema }}
    AND c.table_name IN ({% for table in tables %}{{ table }}{% if not loop.last %}, {% endif %}{% endfor %})
ORDER BY c.table_name, c.column_index
