-- What the export has: the empty position, which every change after the floor outranks, and the floor as its time.
INSERT INTO {{ target.table }} (
{% for key in target.keys %}
    {{ key.name }},
{% endfor %}
{% if target.is_each %}
    _cdc_index, _cdc_key,
{% endif %}
{% for column in target.columns %}
    {{ column.name }},
{% endfor %}
    _cdc_position, _cdc_changed_at, _cdc_merged_at, _cdc_rescued
)
SELECT
{% for key in target.keys %}
    v.k{{ loop.index0 }},
{% endfor %}
{% if target.is_each %}
    s.element_place, s.element_key,
{% endif %}
{% for column in target.columns %}
    {{ column.staged }},
{% endfor %}
    '', {{ floor }}, {{ merged_at }}, {{ rescued }}
FROM _cdc_rows_{{ target.number }} AS s
JOIN _cdc_verdicts_{{ target.number }} AS v ON v.n = s.n{% if target.is_each %} AND v.place = s.element_place{% endif %}

WHERE v.verdict IN ('missing', 'different')
{% if portion %}
    AND s.n >= {{ portion[0] }} AND s.n < {{ portion[1] }} AND v.n >= {{ portion[0] }} AND v.n < {{ portion[1] }}
{% endif %}
{% if dialect.indexes_key %}
ORDER BY {% for key in target.keys %}v.k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, s.element_place{% endif %}

{% endif %}
