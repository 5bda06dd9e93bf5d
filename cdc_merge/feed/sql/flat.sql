-- The typed columns of one target. A row is clean when each attribute of its image is in a column, exactly.
CREATE OR REPLACE TEMP TABLE flat AS
SELECT
    n
{% for column in columns %}
    , {{ column.name }}
{% endfor %}
    , width = {{ always_held }}
{% for column in whole_columns %}
        + CAST({{ column.name }} IS NOT NULL AS INTEGER)
{% endfor %}
    AS clean
FROM (
    SELECT
        n, width
{% for column in columns %}
        , {{ column.value }} AS {{ column.name }}
{% endfor %}
    FROM wide
    WHERE takes_{{ target }}
)
