-- The newest position known of an item that no row bears.
SELECT position, changed_at
FROM {{ tombstones }}
WHERE source = {{ source }}
    AND partition_key = {{ partition_key }}
    AND sort_key = {{ sort_key }}
