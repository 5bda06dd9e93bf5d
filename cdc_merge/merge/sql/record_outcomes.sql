-- The books of the batch: each newest change by the best that became of it; the rest was counted before.
INSERT INTO {{ batches }} (
    batch_id, source, worker, merged_at, newest_change_at, objects, records, applied, superseded, stale, ignored, quarantined
)
SELECT
    {{ batch_id }}, {{ source }}, {{ worker }}, {{ merged_at }}, {{ newest_change_at }}, {{ objects }}, {{ records }},
    {%+ filter count_where %}outcome = 'applied'{% endfilter %},
    {{ superseded }},
    {%+ filter count_where %}outcome = 'stale'{% endfilter %},
    {%+ filter count_where %}outcome = 'ignored'{% endfilter %},
    {{ quarantined }}
FROM (
    SELECT
        CASE
            -- No target could take such a key; but one could before its `where` was changed, and then there is a row.
            WHEN r.removed AND NOT r.could THEN CASE
{% for target in targets %}
                WHEN {% if target.is_soft %}r.marks_{{ target.number }}{% else %}r.accepted_{{ target.number }} AND r.position{{ target.suffix }} = r.position AND r.is_there_{{ target.number }}{% endif %} THEN 'applied'
{% endfor %}
{% for target in targets %}
                WHEN r.own_{{ target.number }} >= r.position THEN 'stale'
{% endfor %}
                ELSE 'ignored'
            END
            -- It is the newest that is known of the key, so its tombstone is new.
            WHEN r.removed AND r.is_open AND coalesce(r.tombstone < r.position, TRUE)
{% for table in tables %}
                AND coalesce(r.own_{{ table.number }} < r.position, TRUE)
{% endfor %}
                THEN 'applied'
            WHEN r.removed THEN 'stale'
{% for target in targets %}
            WHEN r.accepted_{{ target.number }} AND r.position{{ target.suffix }} = r.position
                AND (r.takes_{{ target.number }} OR r.is_there_{{ target.number }}) THEN 'applied'
{% if target.is_soft %}
            WHEN r.marks_{{ target.number }} THEN 'applied'
{% endif %}
{% endfor %}
            WHEN {% for target in targets %}(r.takes_{{ target.number }} AND r.position{{ target.suffix }} = r.position){% if not loop.last %} OR {% endif %}{% endfor %} THEN 'stale'
            ELSE 'ignored'
        END AS outcome
    FROM _cdc_resolved AS r
) AS judged
