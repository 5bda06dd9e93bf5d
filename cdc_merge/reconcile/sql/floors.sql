-- The targets' floors as they are now, under the lock.
SELECT target, floor_at FROM {{ targets_table }} WHERE source = {{ source }}
