-- A replay reads objects again: their ledger rows are written anew.
DELETE FROM {{ objects }}
USING _cdc_objects AS s
WHERE {{ objects | bare }}.source = {{ source }}
    AND {{ objects | bare }}.bucket = s.bucket
    AND {{ objects | bare }}.object_key = s.object_key
    AND {{ objects | bare }}.version = s.version
