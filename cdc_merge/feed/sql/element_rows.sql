-- Rows of elements. What is left over: attributes that no column takes (`stray`), and what columns, by
-- number, do not take (`misfits`).
SELECT
    n, place, key, image
{% for column in columns %}
    , {{ column.name }}
{% endfor %}
    , list_filter([
{% for column in watched %}
        CASE WHEN {{ column.given }} AND {{ column.name }} IS NULL THEN {{ column.number }} END{% if not loop.last %},{% endif %}
{% endfor %}
    ]::INTEGER[], lambda number: number IS NOT NULL) AS misfits
    , NOT {{ whole }} AND len(list_filter(json_keys(image), lambda a: NOT list_contains({{ held }}, a))) > 0 AS stray
    , {{ whole }} AS is_whole
FROM (
    SELECT
        n, place, key, image, element, v, p
{% for column in columns %}
        , {{ column.value }} AS {{ column.name }}
{% endfor %}
    FROM (SELECT *, json_extract_string(image, {{ pointers }}) AS v, json_extract_string(element, ['/S', '/N', '/BOOL', '/B', '/NULL', '']) AS x FROM found)
)
