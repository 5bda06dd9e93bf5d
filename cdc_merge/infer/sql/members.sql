-- Each member of each map in the lists, and one row without a member for each element.
SELECT
    entity, NULL AS rest_1, NULL AS rest_2, attribute,
    entry.key AS member,
    CASE WHEN entry.key IS NULL THEN element ELSE CAST(entry.value AS VARCHAR) END AS value
FROM (
    SELECT
        entity, attribute, element,
        unnest(list_append(
            CASE WHEN starts_with(element, '{"M":{')
                THEN map_entries(from_json(json_extract(element, '/M'), '"MAP(VARCHAR, JSON)"')) ELSE [] END,
            NULL
        )) AS entry
    FROM (
        SELECT
            entity, list.attribute,
            unnest(CAST(json_extract(image, list.pointer) AS VARCHAR[])) AS element
        FROM told
        JOIN lists AS list USING (entity)
        WHERE json_type(image, list.pointer) = 'ARRAY'
    )
)
