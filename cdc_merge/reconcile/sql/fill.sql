-- What the export has, but for items that changed since: the empty position, and the floor as its time.
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
    s.k{{ loop.index0 }},
{% endfor %}
{% if target.is_each %}
    s.element_place, s.element_key,
{% endif %}
{% for column in target.columns %}
    {{ column.staged }},
{% endfor %}
    '', {{ floor }}, {{ merged_at }}, {{ rescued }}
FROM (
    SELECT
{% for key in target.keys %}
        {{ key.staged }} AS k{{ loop.index0 }},
{% endfor %}
{% if has_keys %}
        s.*
    FROM _cdc_keyed_{{ target.number }} AS s
{% else %}
        r.*
    FROM _cdc_keys AS s
    JOIN _cdc_rows_{{ target.number }} AS r ON r.n = s.n
{% if portion %}
    WHERE r.n >= {{ portion[0] }} AND r.n < {{ portion[1] }} AND s.n >= {{ portion[0] }} AND s.n < {{ portion[1] }}
{% endif %}
{% endif %}
) AS s
LEFT JOIN _cdc_verdicts_{{ target.number }} AS v ON v.n = s.n{% if target.is_each %} AND v.place = s.element_place{% endif %} AND v.verdict = 'newer'
WHERE v.n IS NULL
{% if dialect.indexes_key %}
ORDER BY {% for key in target.keys %}s.k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, s.element_place{% endif %}

{% endif %}
