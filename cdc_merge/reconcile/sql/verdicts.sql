-- One target beside the export: every row that is not the same in both, by its key.
CREATE TEMPORARY TABLE _cdc_verdicts_{{ target.number }} AS
SELECT
    s.n AS n,
    t._cdc_row AS address,
{% for key in target.keys %}
    coalesce(t.{{ key.name }}, s.k{{ loop.index0 }}) AS k{{ loop.index0 }},
{% endfor %}
    CASE
        WHEN w.k0 IS NOT NULL THEN 'newer'
        WHEN t._cdc_row IS NULL THEN 'missing'
        WHEN s.n IS NULL THEN 'extra'
        ELSE 'different'
    END AS verdict,
    concat_ws(
        chr(10)
{% for column in columns %}
        , CASE WHEN t._cdc_row IS NOT NULL AND s.n IS NOT NULL AND NOT {{ column.same }} THEN {{ column.label }} END
{% endfor %}
    ) AS differing
FROM (
    SELECT
{% for key in target.keys %}
        {{ key.staged }} AS k{{ loop.index0 }},
{% endfor %}
        r.*
    FROM _cdc_keys AS s
    {% if is_partial %}LEFT {% endif %}JOIN _cdc_rows_{{ target.number }} AS r ON r.n = s.n
) AS s
{% if is_partial %}LEFT{% else %}FULL{% endif %} JOIN (SELECT t.{{ row_address }} AS _cdc_row, t.* FROM {{ target.table }} AS t) AS t
    ON {% for key in target.keys %}t.{{ key.name }} = s.k{{ loop.index0 }}{% if not loop.last %}

    AND {% endif %}{% endfor %}

LEFT JOIN _cdc_newer AS w
    ON {% for key in target.keys %}w.k{{ loop.index0 }} = coalesce(t.{{ key.name }}, s.k{{ loop.index0 }}){% if not loop.last %}

    AND {% endif %}{% endfor %}

WHERE (t._cdc_row IS NOT NULL OR s.n IS NOT NULL)
    AND (
        w.k0 IS NOT NULL OR t._cdc_row IS NULL OR s.n IS NULL
{% for column in columns %}
        OR NOT {{ column.same }}
{% endfor %}
    )
