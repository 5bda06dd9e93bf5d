-- How many keys an old table has that cannot be compared further, and how many of them go: the export has no row of
-- theirs, and nothing came since. One that changed since comes back with its change.
WITH held AS (
    SELECT
{% for key in target.keys %}
        t.{{ key.name }} AS k{{ loop.index0 }},
{% endfor %}
        max(CASE WHEN {% if knows_times %}coalesce(t._cdc_changed_at > {{ floor }}, TRUE){% else %}FALSE{% endif %} THEN 1 ELSE 0 END) AS newer
    FROM {{ target.table }} AS t
    GROUP BY {% for key in target.keys %}t.{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}

), exported AS (
    SELECT DISTINCT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

    FROM _cdc_keys AS s
    JOIN _cdc_rows_{{ target.number }} AS r ON r.n = s.n
)
SELECT count(*), {% filter count_where %}o.newer = 0 AND e.k0 IS NULL AND w.k0 IS NULL{% endfilter %}
FROM held AS o
LEFT JOIN exported AS e ON {% for key in target.keys %}e.k{{ loop.index0 }} = o.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}

LEFT JOIN _cdc_newer AS w ON {% for key in target.keys %}w.k{{ loop.index0 }} = o.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}

