-- How many tombstones are about to go.
SELECT count(*)
FROM {{ tombstones }}
WHERE source = {{ source }}
    AND changed_at <= (
        SELECT CASE WHEN count(*) = count(f.floor_at) THEN min(f.floor_at) END
        FROM {{ targets_table }} AS f
        WHERE f.source = {{ source }}
    )
