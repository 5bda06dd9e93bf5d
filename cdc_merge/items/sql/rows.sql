-- The rows of one item in a table: how new they are, and which columns have a value. The values stay where they are.
SELECT
    _cdc_position, {{ changed_at }}, _cdc_merged_at,
    {{ deleted_at }}
{% for column in columns %}
    , {{ column }} IS NOT NULL
{% endfor %}
FROM {{ table }}
WHERE {{ condition }}
ORDER BY _cdc_position DESC
