-- The target has new columns.
UPDATE {{ targets_table }}
SET columns = {{ columns }}
WHERE source = {{ source }} AND target = {{ target.label }}
