-- The images that the target takes are versions, each once.
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
    {{ key.resolved }},
{% endfor %}
{% for column in target.columns %}
    {{ column.staged }},
{% endfor %}
    r.position, 'upsert', r.changed_at, {{ merged_at }}, {{ rescued }}
FROM _cdc_history_{{ target.number }} AS s
JOIN _cdc_events AS r ON r.n = s.n
WHERE NOT EXISTS (
    SELECT 1
    FROM {{ target.history }} AS t
    WHERE {% for key in target.keys %}t.{{ key.name }} = {{ key.resolved }} AND {% endfor %}t._cdc_position = r.position
        AND t._cdc_operation = 'upsert'
)
