-- What people say of a table and of its columns. https://docs.snowflake.com/en/sql-reference/info-schema/columns
SELECT CAST(NULL AS VARCHAR), t.comment
FROM information_schema.tables AS t
WHERE t.table_catalog = current_database() AND t.table_schema = {{ schema }} AND t.table_name = {{ table }}
UNION ALL
SELECT c.column_name, c.comment
FROM information_schema.columns AS c
WHERE c.table_catalog = current_database() AND c.table_schema = {{ schema }} AND c.table_name = {{ table }}
ORDER BY 1
