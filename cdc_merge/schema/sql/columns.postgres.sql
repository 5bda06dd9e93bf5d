-- What the catalog says of some tables: https://www.postgresql.org/docs/current/infoschema-columns.html
SELECT
    table_name, column_name, data_type, numeric_precision, numeric_scale,
    is_nullable = 'NO' AND column_default IS NULL
        AND coalesce(is_identity, 'NO') <> 'YES' AND coalesce(is_generated, 'NEVER') <> 'ALWAYS',
    FALSE,
    FALSE
FROM information_schema.columns
WHERE table_catalog = current_database()
    AND table_schema = {{ schema }}
    AND table_name IN ({% for table in tables %}{{ table }}{% if not loop.last %}, {% endif %}{% endfor %})
ORDER BY table_name, ordinal_position
