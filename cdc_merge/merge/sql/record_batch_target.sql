-- What the batch did to one target.
INSERT INTO {{ batch_targets }} (batch_id, target, inserted, updated, deleted)
SELECT
    {{ batch_id }}, {{ target.label }},
    count(*) FILTER (WHERE {% if target.is_soft %}r.accepted_{{ target.number }} AND {% endif %}r.takes_{{ target.number }} AND r.own_{{ target.number }} IS NULL),
    count(*) FILTER (WHERE {% if target.is_soft %}r.accepted_{{ target.number }} AND {% endif %}r.takes_{{ target.number }} AND r.own_{{ target.number }} IS NOT NULL),
{% if target.is_soft %}
    count(*) FILTER (WHERE r.marks_{{ target.number }} AND r.was_deleted_at_{{ target.number }} IS NULL)
{% else %}
    count(*) FILTER (WHERE NOT r.takes_{{ target.number }} AND r.own_{{ target.number }} IS NOT NULL)
{% endif %}
FROM _cdc_resolved AS r
WHERE r.accepted_{{ target.number }}{% if target.is_soft %} OR r.marks_{{ target.number }}{% endif %}
