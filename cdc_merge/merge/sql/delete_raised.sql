-- The tombstones that a row outranks now, or that are written anew with what the batch adds to them.
DELETE FROM {{ tombstones }} AS ts
USING _cdc_resolved AS r
WHERE ts.source = {{ source }}
    AND ts.partition_key = r.partition_key
    AND ts.sort_key = r.sort_key
    AND r.tombstone IS NOT NULL
    AND r.is_open
