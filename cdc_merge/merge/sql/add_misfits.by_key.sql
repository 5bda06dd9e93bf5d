-- Rows with values that their column did not take, where there were some before. A sample that was erased is replaced.
UPDATE {{ misfits }}
SET
    {{ "rows" | quoted }} = {{ misfits | bare }}.{{ "rows" | quoted }} + s.{{ "rows" | quoted }},
    first_value = CASE WHEN {{ misfits | bare }}.first_key IS NULL THEN s.first_value ELSE {{ misfits | bare }}.first_value END,
    first_key = coalesce({{ misfits | bare }}.first_key, s.first_key),
    last_seen_at = {{ merged_at }}
FROM _cdc_misfits AS s
WHERE {{ misfits | bare }}.source = {{ source }}
    AND {{ misfits | bare }}.target = s.target
    AND {{ misfits | bare }}.column_name = s.column_name
