-- Items that look alike, counted: the same attributes, the same beginnings of keys, the same values of what may tell
-- entities apart.
SELECT list_sort(json_keys(image)) AS attributes, {{ prefixes }} AS prefixes, {{ candidates }} AS candidates, count(*)
FROM (SELECT image, json_extract_string(image, {{ pointers }}) AS v FROM items)
GROUP BY ALL
ORDER BY ALL
