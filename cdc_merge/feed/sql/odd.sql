-- Rows with an attribute that did not simply fit: every type tag is tried, and what still has no place is named.
SELECT
    n, image
{% for column in columns %}
    , {{ column.name }}
{% endfor %}
    , list_filter([
{% for column in whole_columns %}
        CASE WHEN {{ column.given }} AND {{ column.name }} IS NULL THEN {{ column.attribute }} END{% if not loop.last %},{% endif %}
{% endfor %}
    ]::VARCHAR[], lambda attribute: attribute IS NOT NULL) AS failed
FROM (
    SELECT
        n, image, v
{% for column in columns %}
        , {{ column.value }} AS {{ column.name }}
{% endfor %}
    FROM (SELECT n, image, json_extract_string(image, {{ pointers }}) AS v FROM odd)
)
