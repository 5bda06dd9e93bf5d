-- The target is verified up to here.
UPDATE {{ targets_table }}
SET floor_at = {{ floor }}
WHERE source = {{ source }} AND target = {{ target.label }} AND coalesce(floor_at < {{ floor }}, TRUE)
