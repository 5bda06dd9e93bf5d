-- Rows with an attribute that did not simply fit: every type tag is tried, and columns that do not take what is there are
-- named by number.
SELECT
    n, image
{% for column in columns %}
    , {{ column.name }}
{% endfor %}
    , list_filter([
{% for column in watched %}
        CASE WHEN {{ column.given }} AND {{ column.name }} IS NULL THEN {{ column.number }} END{% if not loop.last %},{% endif %}
{% endfor %}
    ]::INTEGER[], lambda number: number IS NOT NULL) AS misfits
FROM (
    SELECT
        n, image, v
{% for column in columns %}
        , {{ column.value }} AS {{ column.name }}
{% endfor %}
    FROM (SELECT n, image, json_extract_string(image, {{ pointers }}) AS v FROM odd)
)
