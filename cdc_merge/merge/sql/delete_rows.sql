{% if target.is_each %}
-- The rows of accepted changes go, all of an item together.
DELETE FROM {{ target.table }} AS t
USING _cdc_resolved AS r
WHERE r.is_there_{{ target.number }}
    AND r.accepted_{{ target.number }}
{% for key in target.keys %}
    AND t.{{ key.name }} = {{ key.resolved }}
{% endfor %}
{% else %}
-- The rows of accepted changes go, replaced or not. They are found by their address within this transaction.
DELETE FROM {{ target.table }} AS t
WHERE {%+ filter is_among(row_address) %}

    SELECT r.row_{{ target.number }}
    FROM _cdc_resolved AS r
    WHERE r.accepted_{{ target.number }}
        AND r.row_{{ target.number }} IS NOT NULL
{% endfilter %}

{% endif %}
