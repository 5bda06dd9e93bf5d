SELECT e.partition_key, e.sort_key
FROM {{ history_events }} AS e
WHERE e.source = {{ source }}
    AND e.target = {{ target.label }}
    AND e.changed_at = {{ floor }}
