-- Pieces of a key that an attribute of type S, or another key attribute, repeats in each of up to {{ most }} items of an
-- entity: so few show it, and to look at every attribute is slow.
WITH few AS (
    SELECT n, entity
    FROM (
        SELECT n, entity, row_number() OVER (PARTITION BY entity ORDER BY hash(n)) AS place
        FROM told
        WHERE n % {{ step }} = 0 AND list_contains({{ entities }}, entity)
    )
    WHERE place <= {{ most }}
), entries AS (
    SELECT
        entity,
        string_split(json_extract_string(image, {{ text }}), '#') AS cut,
        unnest(map_entries(from_json(image, '"MAP(VARCHAR, JSON)"'))) AS entry
    FROM told
    SEMI JOIN few USING (n)
), matches AS (
    SELECT entity, attribute, payload, unnest(cut) AS piece, generate_subscripts(cut, 1) AS place
    FROM (SELECT entity, cut, entry.key AS attribute, json_extract_string(entry.value, '/S') AS payload FROM entries)
    WHERE list_contains(cut, payload)
)
SELECT entity, place
FROM (SELECT entity, place, attribute, count(*) AS items FROM matches WHERE piece = payload GROUP BY ALL)
JOIN (SELECT entity, count(*) AS all_items FROM few GROUP BY entity) USING (entity)
WHERE items = all_items
