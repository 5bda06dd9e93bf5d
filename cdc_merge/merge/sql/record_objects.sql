-- The ledger. Its primary key refuses a batch that another worker has merged in the meantime.
INSERT INTO {{ objects }} (source, bucket, object_key, version, bytes, modified_at, records, batch_id, merged_at)
SELECT {{ source }}, s.bucket, s.object_key, s.version, s.bytes, s.modified_at, s.records, {{ batch_id }}, {{ merged_at }}
FROM _cdc_objects AS s
