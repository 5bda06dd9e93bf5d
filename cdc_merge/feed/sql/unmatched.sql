-- The items at hand that no target takes, counted by what seems to be their entity.
SELECT left(replace(entity, chr(0), '?'), 200) AS entity, count(*) AS items
FROM (
    SELECT {{ entity }} AS entity
    FROM (
        SELECT json_extract_string(l.line, {{ pointers }}) AS v
        FROM wide AS w
        JOIN lines AS l ON l.idx = w.idx
        WHERE NOT w.removed AND NOT ({{ belongs }}) AND w.n < {{ picked_from }}
    )
)
GROUP BY ALL
