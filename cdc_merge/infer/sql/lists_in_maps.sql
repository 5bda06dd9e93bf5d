-- Lists inside maps, one or two levels deep, that are in half of the items with the map or more: in fewer, the map's keys
-- are rather data than names. Some items are looked at, spread evenly.
WITH first AS (
    SELECT entity, attribute, entry.key AS member, CAST(entry.value AS VARCHAR) AS value
    FROM (
        SELECT
            entity, map.attribute,
            unnest(map_entries(from_json(json_extract(image, map.pointer), '"MAP(VARCHAR, JSON)"'))) AS entry
        FROM told
        JOIN maps AS map USING (entity)
        WHERE n % {{ step }} = 0 AND json_type(image, map.pointer) = 'OBJECT'
    )
), second AS (
    SELECT entity, attribute, member, entry.key AS inner_member, CAST(entry.value AS VARCHAR) AS value
    FROM (
        SELECT entity, attribute, member, unnest(map_entries(from_json(json_extract(value, '/M'), '"MAP(VARCHAR, JSON)"'))) AS entry
        FROM first
        WHERE starts_with(value, '{"M":{"')
    )
), holding AS (
    SELECT entity, map.attribute, count(*) AS items
    FROM told
    JOIN maps AS map USING (entity)
    WHERE n % {{ step }} = 0 AND json_type(image, map.pointer) = 'OBJECT'
    GROUP BY ALL
)
SELECT entity, attribute, member, inner_member
FROM (
    SELECT entity, attribute, member, NULL AS inner_member FROM first WHERE starts_with(value, '{"L":')
    UNION ALL
    SELECT entity, attribute, member, inner_member FROM second WHERE starts_with(value, '{"L":')
)
JOIN holding USING (entity, attribute)
GROUP BY ALL
HAVING count(*) * 2 >= any_value(items)
ORDER BY ALL
