-- Who owns the table, and whether we may act as its owner: only who does may exchange it. How it is stored is not asked.
-- https://docs.snowflake.com/en/sql-reference/functions/is_role_in_session
SELECT t.table_owner, is_role_in_session(t.table_owner), 'p', CAST(NULL AS VARCHAR), 'd', '', ''
FROM information_schema.tables AS t
WHERE t.table_catalog = current_database()
    AND t.table_schema = {{ schema }}
    AND t.table_name = {{ name }}
