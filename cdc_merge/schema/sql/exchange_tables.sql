-- A table, and what is there beside it of the rebuild that is to take its place; of each, whether it is the new one.
-- https://docs.snowflake.com/en/sql-reference/info-schema/tables
SELECT t.table_name, coalesce(c.comment = {{ mark }}, FALSE)
FROM information_schema.tables AS t
LEFT JOIN information_schema.columns AS c
    ON c.table_catalog = t.table_catalog
    AND c.table_schema = t.table_schema
    AND c.table_name = t.table_name
    AND c.column_name = {{ position }}
WHERE t.table_catalog = current_database()
    AND t.table_schema = {{ schema }}
    AND (t.table_name = {{ table }} OR substr(t.table_name, 1, {{ stem_length }}) = {{ stem }})
