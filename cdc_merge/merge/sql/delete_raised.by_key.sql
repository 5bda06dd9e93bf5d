-- The tombstones that a row outranks now, or that are written anew with what the batch adds to them.
DELETE FROM {{ tombstones }}
USING _cdc_resolved AS r
WHERE {{ tombstones | bare }}.source = {{ source }}
    AND {{ tombstones | bare }}.partition_key = r.partition_key
    AND {{ tombstones | bare }}.sort_key = r.sort_key
    AND r.tombstone IS NOT NULL
    AND r.could
    AND r.is_open
