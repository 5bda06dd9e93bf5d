-- A change as old as a tombstone at or below every floor of the source is stale by the floor alone. While one target
-- has no floor, none can go.
DELETE FROM {{ tombstones }}
WHERE source = {{ source }}
    AND changed_at <= (
        SELECT CASE WHEN count(*) = count(f.floor_at) THEN min(f.floor_at) END
        FROM {{ targets_table }} AS f
        WHERE f.source = {{ source }}
    )
