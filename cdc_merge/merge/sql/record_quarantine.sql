-- What could not be used waits here. Reading an object again does not enter its records twice.
INSERT INTO {{ quarantine }} (
    id, source, bucket, object_key, version, record, byte_offset, reason, detail, {{ "raw" | quoted }}, batch_id, quarantined_at
)
SELECT
    s.id, {{ source }}, s.bucket, s.object_key, s.version, s.record, s.byte_offset, s.reason, s.detail, s.{{ "raw" | quoted }},
    {{ batch_id }}, {{ merged_at }}
FROM _cdc_quarantine AS s
WHERE NOT EXISTS (SELECT 1 FROM {{ quarantine }} AS q WHERE q.id = s.id)
