-- How many of the same items have an attribute, or another key attribute, of type S that is a piece of the key.
SELECT entity, place, attribute, count(*)
FROM (
    SELECT entity, attribute, payload, unnest(cut) AS piece, generate_subscripts(cut, 1) AS place
    FROM (
        SELECT entity, cut, entry.key AS attribute, json_extract_string(entry.value, '/S') AS payload
        FROM (
            SELECT
                entity,
                string_split(json_extract_string(image, {{ text }}), '#') AS cut,
                unnest(map_entries(from_json(image, '"MAP(VARCHAR, JSON)"'))) AS entry
            FROM told
            WHERE n % {{ step }} = 0 AND list_contains({{ entities }}, entity)
        )
    )
    WHERE list_contains(cut, payload)
)
WHERE piece = payload
GROUP BY ALL
