-- What was repaired is a version from the floor on, known from the export and not from a change.
INSERT INTO {{ target.history }} (
{% for key in target.keys %}
    {{ key.name }},
{% endfor %}
{% for column in target.columns %}
    {{ column.name }},
{% endfor %}
    _cdc_position, _cdc_operation, _cdc_valid_from, _cdc_merged_at, _cdc_rescued
)
SELECT
{% for key in target.keys %}
    v.k{{ loop.index0 }},
{% endfor %}
{% for column in target.columns %}
    {{ column.staged }},
{% endfor %}
    '', 'reconcile', {{ floor }}, {{ merged_at }}, {{ rescued }}
FROM _cdc_rows_{{ target.number }} AS s
JOIN _cdc_verdicts_{{ target.number }} AS v ON v.n = s.n
WHERE v.verdict IN ('missing', 'different')
    AND NOT EXISTS (
        SELECT 1
        FROM {{ target.history }} AS t
        WHERE {% for key in target.keys %}t.{{ key.name }} = v.k{{ loop.index0 }} AND {% endfor %}t._cdc_operation = 'reconcile'
            AND t._cdc_valid_from = {{ floor }}
    )
