-- Rows with values that their column did not take, where there were some before. A sample that was erased is replaced.
UPDATE {{ misfits }} AS m
SET
    {{ "rows" | quoted }} = m.{{ "rows" | quoted }} + s.{{ "rows" | quoted }},
    first_value = CASE WHEN m.first_key IS NULL THEN s.first_value ELSE m.first_value END,
    first_key = coalesce(m.first_key, s.first_key),
    last_seen_at = {{ merged_at }}
FROM _cdc_misfits AS s
WHERE m.source = {{ source }} AND m.target = s.target AND m.column_name = s.column_name
