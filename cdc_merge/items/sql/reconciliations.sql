-- The reconciles of a source's targets, oldest first.
SELECT target, reconciliation_id, export, method, as_of, floor_at, finished_at
FROM {{ reconciliations }}
WHERE source = {{ source }}
ORDER BY finished_at, reconciliation_id
