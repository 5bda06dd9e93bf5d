-- The pieces of the texts of one key attribute, cut at each `#`, in some items that are spread evenly.
SELECT
    entity,
    place,
    min(piece) AS low,
    max(piece) AS high,
    count(*) AS keys,
    min(pieces) AS least,
    max(pieces) AS most,
    count(*) FILTER (piece = '') AS empty,
    count({{ time }}) AS times,
    count({{ date }}) AS dates
FROM (
    SELECT
        *,
        -- What may be a moment; the others need no closer look.
        CASE WHEN piece[5] = '-' AND length(piece) BETWEEN 10 AND 64 THEN piece END AS moment
    FROM (
        SELECT entity, len(cut) AS pieces, unnest(cut) AS piece, generate_subscripts(cut, 1) AS place
        FROM (
            SELECT entity, string_split(json_extract_string(image, {{ text }}), '#') AS cut
            FROM told
            WHERE n % {{ step }} = 0
        )
        WHERE entity IS NOT NULL
    )
)
GROUP BY entity, place
ORDER BY entity, place
