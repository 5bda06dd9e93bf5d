-- The tombstone holds the item's key.
DELETE FROM {{ tombstones }}
WHERE source = {{ source }}
    AND partition_key = {{ partition_key }}
    AND sort_key = {{ sort_key }}
