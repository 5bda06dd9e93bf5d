-- A forgotten item stays forgotten: what was known when it was erased does not enter a history again.
DELETE FROM _cdc_events AS s
USING {{ history_events }} AS e
WHERE e.source = {{ source }}
    AND e.target = '/forgotten'
    AND e.partition_key = s.partition_key
    AND e.sort_key = s.sort_key
    AND s.position <= e.position
