-- Every distinct change of the batch, once and for all, whatever the targets made of it.
INSERT INTO {{ history_events }} (source, target, partition_key, sort_key, position, changed_at)
SELECT {{ source }}, '', s.partition_key, s.sort_key, s.position, s.changed_at
FROM _cdc_events AS s
WHERE NOT EXISTS (
    SELECT 1
    FROM {{ history_events }} AS e
    WHERE e.source = {{ source }}
        AND e.target = ''
        AND e.partition_key = s.partition_key
        AND e.sort_key = s.sort_key
        AND e.position = s.position
)
