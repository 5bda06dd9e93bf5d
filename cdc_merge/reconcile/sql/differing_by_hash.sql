-- And those that both have, where the hashes differ or the feed knows better.
INSERT INTO _cdc_verdicts_{{ target.number }}
SELECT
    x.n AS n,
    {% if target.is_each %}x.place AS place,
    {% endif %}x._cdc_row AS address,
{% for key in target.keys %}
    x.k{{ loop.index0 }} AS k{{ loop.index0 }},
{% endfor %}
    CASE WHEN x.is_newer THEN 'newer' ELSE 'different' END AS verdict,
    {{ differing }} AS differing
FROM _cdc_suspects_{{ target.number }} AS x
JOIN {{ target.table }} AS t ON t.{{ row_address }} = x._cdc_row
JOIN _cdc_rows_{{ target.number }} AS s ON s.n = x.n{% if target.is_each %} AND s.element_place = x.place{% endif %}

WHERE x.is_newer
{% for column in columns %}
    OR NOT {{ column.same }}
{% endfor %}
