{% set keeps_rows = target.is_soft or target.spares_extra %}
-- How many rows of the old table changed since the export, and how many come over of items that are gone.
SELECT
    {%+ filter count_where %}v.verdict = 'newer'{% if keeps_rows %} AND t.k0 IS NULL{% endif %}{% endfilter %},
    {%+ filter count_where %}v.verdict IN ('kept'{% if target.is_soft %}, 'extra'{% endif %}){% if keeps_rows %} OR t.k0 IS NOT NULL{% endif %}{% endfilter %}

FROM _cdc_verdicts_{{ target.number }} AS v
{% if keeps_rows %}
-- The item went since, and its row is of an older change, which is not merged once more.
LEFT JOIN (
    SELECT DISTINCT {% for key in target.keys %}t.{{ key.name }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

    FROM {{ target.table }} AS t
    WHERE t._cdc_changed_at <= {{ floor }}
) AS t
    ON v.verdict = 'newer' AND {% for key in target.keys %}t.k{{ loop.index0 }} = v.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}

{% endif %}
WHERE v.address IS NOT NULL
