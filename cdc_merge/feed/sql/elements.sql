-- The elements of the items a target takes, each to be a row: where its columns are taken from, and what of the item
-- around it is wanted.
SELECT n, e.place AS place, e.key AS key, e.element AS element, element_image(e.element) AS image, p
FROM (
    SELECT
        w.n,
        unnest(elements(json_extract(l.line, {{ each }}), {{ layers }})) AS e,
        json_extract_string(l.line, {{ pointers }}) AS p
    FROM wide AS w
    JOIN lines AS l ON l.idx = w.idx
    WHERE w.takes_{{ number }}
)
