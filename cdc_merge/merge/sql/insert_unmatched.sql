-- Those of entities that are new.
INSERT INTO {{ unmatched }} (source, entity, items, last_seen_at)
SELECT {{ source }}, s.entity, s.items, {{ merged_at }}
FROM _cdc_unmatched AS s
WHERE NOT EXISTS (SELECT 1 FROM {{ unmatched }} AS u WHERE u.source = {{ source }} AND u.entity = s.entity)
