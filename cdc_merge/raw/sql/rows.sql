INSERT INTO _cdc_rows_{{ target.number }}
SELECT
    s.n, s.rescued_{{ target.number }}
{% for column in target.columns %}
    , s.{{ column.wide }}
{% endfor %}
FROM _cdc_wide AS s
WHERE s.nth = 1
    AND s.takes_{{ target.number }}
