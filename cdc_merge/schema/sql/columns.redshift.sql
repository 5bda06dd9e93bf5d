-- What the catalog says of some tables, with the length of texts: https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_COLUMNS.html
SELECT
    table_name, column_name,
    CASE data_type
        WHEN 'character varying' THEN 'VARCHAR(' || CAST(character_maximum_length AS VARCHAR(10)) || ')'
        WHEN 'binary varying' THEN 'VARBYTE(' || CAST(character_maximum_length AS VARCHAR(10)) || ')'
        ELSE data_type
    END,
    numeric_precision, numeric_scale,
    is_nullable = 'NO' AND column_default IS NULL,
    FALSE,
    FALSE
FROM svv_columns
WHERE table_schema = {{ schema }}
    AND table_name IN ({% for table in tables %}{{ table }}{% if not loop.last %}, {% endif %}{% endfor %})
ORDER BY table_name, ordinal_position
