-- Comments on the table and its columns. https://duckdb.org/docs/stable/sql/statements/comment_on
SELECT t.schema_name, t.table_name, NULL, t.comment
FROM duckdb_tables() AS t
WHERE t.database_name = current_database()
    AND t.schema_name = {{ schema }} AND t.table_name = {{ name }} AND t.comment IS NOT NULL
UNION ALL
SELECT c.schema_name, c.table_name, c.column_name, c.comment
FROM duckdb_columns() AS c
WHERE c.database_name = current_database()
    AND c.schema_name = {{ schema }} AND c.table_name = {{ name }} AND c.comment IS NOT NULL
ORDER BY 1, 2, 3
