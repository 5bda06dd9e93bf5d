-- The items at hand that no target takes, and what seems to be their entity.
SELECT n, left(replace(entity, chr(0), '?'), 200) AS entity
FROM (
    SELECT n, {{ entity }} AS entity
    FROM (
        SELECT w.n, json_extract_string(l.line, {{ pointers }}) AS v
        FROM wide AS w
        JOIN lines AS l ON l.idx = w.idx
        WHERE NOT w.removed AND NOT ({{ belongs }}) AND w.n < {{ picked_from }}
    )
)
