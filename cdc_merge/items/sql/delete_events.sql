-- All that the timelines of histories know of the item.
DELETE FROM {{ history_events }}
WHERE source = {{ source }}
    AND partition_key = {{ partition_key }}
    AND sort_key = {{ sort_key }}
