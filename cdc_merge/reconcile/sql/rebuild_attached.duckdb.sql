-- Indexes that people made, and the columns whose names are in their expressions.
-- https://duckdb.org/docs/stable/sql/meta/duckdb_table_functions#duckdb_indexes
SELECT
    'INDEX',
    i.index_name,
    rtrim(i.sql, ';'),
    (
        SELECT coalesce(list(c.column_name), [])
        FROM duckdb_columns() AS c
        WHERE c.table_oid = i.table_oid
            AND c.database_oid = i.database_oid
            AND regexp_matches(lower(i.expressions), '(^|\W)' || regexp_escape(lower(c.column_name)) || '(\W|$)')
    ),
    i.comment
FROM duckdb_indexes() AS i
WHERE i.database_name = current_database()
    AND i.schema_name = {{ schema }}
    AND i.table_name = {{ name }}
    AND NOT i.is_primary
    AND i.sql IS NOT NULL
ORDER BY 1, 2
