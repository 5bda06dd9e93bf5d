-- Columns whose sample of a value that did not fit is the item's.
SELECT target, column_name
FROM {{ misfits }}
WHERE source = {{ source }} AND first_key = {{ key }}
