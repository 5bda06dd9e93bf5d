-- There is nothing to compare the export with: all that it has is missing, but for keys that the feed knows better.
CREATE TEMPORARY TABLE _cdc_verdicts_{{ target.number }} AS
SELECT
    s.n AS n,
{% if target.is_each %}
    s.place AS place,
{% endif %}
    CAST(NULL AS BIGINT) AS address,
{% for key in target.keys %}
    s.k{{ loop.index0 }} AS k{{ loop.index0 }},
{% endfor %}
    CASE WHEN w.k0 IS NOT NULL THEN 'newer' ELSE 'missing' END AS verdict,
    CAST('' AS VARCHAR) AS differing
FROM (
    SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}, {% endfor %}{% if target.is_each %}s.element_place AS place, {% endif %}s.n
    FROM _cdc_keyed_{{ target.number }} AS s
) AS s
LEFT JOIN _cdc_newer AS w
    ON {% for key in target.keys %}w.k{{ loop.index0 }} = s.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}
