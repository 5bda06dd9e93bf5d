-- The new table is in its place, whoever put it there.
UPDATE {{ targets_table }}
SET columns = {{ columns }}
WHERE source = {{ source }} AND target = {{ table }} AND columns = {{ before }}
