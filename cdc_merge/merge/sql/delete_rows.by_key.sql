-- The rows of accepted changes go, replaced or not: all of a key, should one be there twice.
DELETE FROM {{ target.table }}
USING _cdc_resolved AS r
WHERE r.is_there_{{ target.number }}
    AND r.accepted_{{ target.number }}
{% for key in target.keys %}
    AND {{ target.table | bare }}.{{ key.name }} = {{ key.resolved }}
{% endfor %}
{% if key_range %}
    AND {{ target.table | bare }}.{{ target.keys[0].name }} BETWEEN {{ key_range.low }} AND {{ key_range.high }}
{% endif %}
