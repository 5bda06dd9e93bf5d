-- Views, which find a table by its name. Their texts are only told to who owns them, and those of this database.
-- https://docs.snowflake.com/en/sql-reference/info-schema/views
SELECT v.table_schema, v.table_name, v.view_definition
FROM information_schema.views AS v
WHERE v.table_catalog = current_database() AND v.table_schema <> 'INFORMATION_SCHEMA' AND v.view_definition IS NOT NULL
ORDER BY 1, 2
