-- Each attribute of each item that belongs to an entity.
SELECT
    entity, rest_1, rest_2, entry.key AS attribute, NULL AS member, CAST(entry.value AS VARCHAR) AS value
FROM (
    SELECT entity, rest_1, rest_2, unnest(map_entries(from_json(image, '"MAP(VARCHAR, JSON)"'))) AS entry
    FROM told
    WHERE entity IS NOT NULL
)
