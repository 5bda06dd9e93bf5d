-- The ledger. No key is enforced here: it is the lock, and this look, that keep a batch from being merged twice.
INSERT INTO {{ objects }} (source, bucket, object_key, version, bytes, modified_at, records, batch_id, merged_at)
SELECT {{ source }}, s.bucket, s.object_key, s.version, s.bytes, s.modified_at, s.records, {{ batch_id }}, {{ merged_at }}
FROM _cdc_objects AS s
LEFT JOIN {{ objects }} AS o
    ON o.source = {{ source }}
    AND o.bucket = s.bucket
    AND o.object_key = s.object_key
    AND o.version = s.version
WHERE o.source IS NULL
