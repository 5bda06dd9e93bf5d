-- What a table is clustered by, such as LINEAR(PK): https://docs.snowflake.com/en/sql-reference/info-schema/tables
SELECT t.clustering_key
FROM information_schema.tables AS t
WHERE t.table_catalog = current_database() AND t.table_schema = {{ schema }} AND t.table_name = {{ table }}
    AND t.clustering_key IS NOT NULL
