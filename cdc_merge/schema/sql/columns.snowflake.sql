-- What the catalog says of some tables: https://docs.snowflake.com/en/sql-reference/info-schema/columns
SELECT
    table_name, column_name,
    CASE data_type WHEN 'NUMBER' THEN 'NUMERIC' WHEN 'TEXT' THEN 'VARCHAR' ELSE data_type END,
    numeric_precision, numeric_scale,
    is_nullable = 'NO' AND column_default IS NULL AND coalesce(is_identity, 'NO') <> 'YES',
    coalesce(comment = {{ mark }}, FALSE),
    FALSE
FROM information_schema.columns
WHERE table_catalog = current_database()
    AND table_schema = {{ schema }}
    AND table_name IN ({% for table in tables %}{{ table }}{% if not loop.last %}, {% endif %}{% endfor %})
ORDER BY table_name, ordinal_position
