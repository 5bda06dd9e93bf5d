-- The images of accepted changes become rows.
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
    _cdc_position, _cdc_changed_at, _cdc_merged_at, {% if target.is_soft %}_cdc_deleted_at, {% endif %}_cdc_rescued
)
SELECT
{% for key in target.keys %}
    {{ key.resolved }},
{% endfor %}
{% if target.is_each %}
    s.element_place, s.element_key,
{% endif %}
{% for column in target.columns %}
    {{ column.staged }},
{% endfor %}
    r.position{{ target.suffix }}, r.changed_at{{ target.suffix }}, {{ merged_at }}, {% if target.is_soft %}

    -- A late image of an item that is gone by now.
    CASE WHEN r.gone_{{ target.number }} > r.position{{ target.suffix }} THEN coalesce(r.deleted_at_{{ target.number }}, {{ merged_at }}) END,
    {% endif %}{{ rescued }}
FROM _cdc_rows_{{ target.number }} AS s
JOIN _cdc_resolved AS r ON r.n{{ target.suffix }} = s.n
WHERE r.accepted_{{ target.number }}
{% if dialect.indexes_key %}
-- In the order of the key's index, which then is filled page by page instead of here and there.
ORDER BY r.partition_key, r.sort_key{% if target.is_each %}, s.element_place{% endif %}

{% endif %}
