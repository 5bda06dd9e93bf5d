-- What the batch did to one target.
INSERT INTO {{ batch_targets }} (batch_id, target, inserted, updated, deleted)
SELECT
    {{ batch_id }}, {{ target.label }},
    {%+ filter count_where %}{% if target.is_soft %}r.accepted_{{ target.number }} AND {% endif %}r.takes_{{ target.number }} AND NOT r.is_there_{{ target.number }}{% endfilter %},
    {%+ filter count_where %}{% if target.is_soft %}r.accepted_{{ target.number }} AND {% endif %}r.takes_{{ target.number }} AND r.is_there_{{ target.number }}{% endfilter %},
{% if target.is_soft %}
    {%+ filter count_where %}r.marks_{{ target.number }} AND r.was_deleted_at_{{ target.number }} IS NULL{% endfilter +%}
{% else %}
    {%+ filter count_where %}NOT r.takes_{{ target.number }} AND r.is_there_{{ target.number }}{% endfilter +%}
{% endif %}
FROM _cdc_resolved AS r
WHERE r.accepted_{{ target.number }}{% if target.is_soft %} OR r.marks_{{ target.number }}{% endif %}
