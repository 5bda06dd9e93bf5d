-- A replay reads objects again: their ledger rows are written anew.
DELETE FROM {{ objects }} AS o
USING _cdc_objects AS s
WHERE o.source = {{ source }}
    AND o.bucket = s.bucket
    AND o.object_key = s.object_key
    AND o.version = s.version
