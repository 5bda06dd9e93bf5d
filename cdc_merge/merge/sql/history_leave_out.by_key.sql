-- A forgotten item stays forgotten: what was known when it was erased does not enter a history again.
DELETE FROM _cdc_events
USING {{ history_events }} AS e
WHERE e.source = {{ source }}
    AND e.target = '/forgotten'
    AND e.partition_key = _cdc_events.partition_key
    AND e.sort_key = _cdc_events.sort_key
    AND _cdc_events.position <= e.position
