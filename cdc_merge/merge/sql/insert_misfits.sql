-- The first of a column, with a sample.
INSERT INTO {{ misfits }} (
    source, target, column_name, attribute, {{ "rows" | quoted }}, first_key, first_value, first_seen_at, last_seen_at
)
SELECT
    {{ source }}, s.target, s.column_name, s.attribute, s.{{ "rows" | quoted }}, s.first_key, s.first_value, {{ merged_at }}, {{ merged_at }}
FROM _cdc_misfits AS s
WHERE NOT EXISTS (
    SELECT 1 FROM {{ misfits }} AS m
    WHERE m.source = {{ source }} AND m.target = s.target AND m.column_name = s.column_name
)
