-- The names of the columns that differ, of a row that both sides have. In pieces: Postgres takes a hundred arguments.
-- https://www.postgresql.org/docs/current/runtime-config-preset.html
concat_ws(
    chr(10)
{% for piece in columns | batch(80) %}
    , nullif(concat_ws(
        chr(10)
{% for column in piece %}
        , CASE WHEN {{ row }}._cdc_row IS NOT NULL AND {{ number }}.n IS NOT NULL AND NOT {{ column.same }} THEN {{ column.label }} END
{% endfor %}
    ), '')
{% else %}
    , CAST(NULL AS {{ text }})
{% endfor %}
)
