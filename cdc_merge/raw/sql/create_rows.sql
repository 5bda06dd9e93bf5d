-- The rows of one target.
CREATE TEMPORARY TABLE _cdc_rows_{{ target.number }} (
    n BIGINT,
    rescued {{ text }}
{% for column in target.columns %}
    , {{ column.name }} {{ column.type }}
{% endfor %}
)
