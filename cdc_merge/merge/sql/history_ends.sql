-- Where an item left the target.
INSERT INTO {{ target.history }} (
{% for key in target.keys %}
    {{ key.name }},
{% endfor %}
    _cdc_position, _cdc_operation, _cdc_valid_from, _cdc_valid_to, _cdc_merged_at
)
SELECT
{% for key in target.keys %}
    {{ key.staged }},
{% endfor %}
    s.position, 'delete', s.changed_at, s.valid_to, {{ merged_at }}
FROM _cdc_timeline_{{ target.number }} AS s
WHERE s.operation = 'delete'
    AND NOT EXISTS (
        SELECT 1
        FROM {{ target.history }} AS t
        WHERE {% for key in target.keys %}t.{{ key.name }} = {{ key.staged }} AND {% endfor %}t._cdc_position = s.position
            AND (s.position <> '' OR t._cdc_valid_from = s.changed_at)
            AND t._cdc_operation = 'delete'
    )
