-- The probed rows of one target beside their items: is each as its item says, and has it changed since another time?
SELECT
{% for key in target.keys %}
    t.{{ key.name }},
{% endfor %}
    CASE
{% if target.is_soft and target.has_deleted_at %}
        WHEN s.n IS NULL AND t._cdc_deleted_at IS NOT NULL THEN 'equal'
{% endif %}
{% if target.spares_extra %}
        WHEN s.n IS NULL AND s.removed THEN 'equal'
{% endif %}
        WHEN s.n IS NULL THEN 'extra'
{% for column in columns %}
        WHEN NOT {{ column.same }} THEN 'different'
{% endfor %}
        ELSE 'equal'
    END,
    t._cdc_position,
    t._cdc_merged_at
FROM (
    SELECT
{% for key in target.keys %}
        {{ key.staged }} AS k{{ loop.index0 }},
{% endfor %}
        {% if target.spares_extra %}s.removed, {% endif %}r.*
    FROM _cdc_keys AS s
    LEFT JOIN _cdc_rows_{{ target.number }} AS r ON r.n = s.n
) AS s
JOIN {{ target.table }} AS t
    ON {% for key in target.keys %}t.{{ key.name }} = s.k{{ loop.index0 }}{% if not loop.last %}

    AND {% endif %}{% endfor %}
