-- Items that no target takes, of entities of which there were some before.
UPDATE {{ unmatched }} AS u
SET items = u.items + s.items, last_seen_at = {{ merged_at }}
FROM _cdc_unmatched AS s
WHERE u.source = {{ source }} AND u.entity = s.entity
