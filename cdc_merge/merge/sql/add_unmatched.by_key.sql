-- Items that no target takes, of entities of which there were some before.
UPDATE {{ unmatched }}
SET items = {{ unmatched | bare }}.items + s.items, last_seen_at = {{ merged_at }}
FROM _cdc_unmatched AS s
WHERE {{ unmatched | bare }}.source = {{ source }} AND {{ unmatched | bare }}.entity = s.entity
