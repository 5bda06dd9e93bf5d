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
                WHEN r.accepted_{{ loop.index0 }} AND r.is_there_{{ loop.index0 }} THEN 'applied'
{% endfor %}
{% for target in targets %}
                WHEN r.is_there_{{ loop.index0 }} THEN 'stale'
{% endfor %}
                ELSE 'ignored'
            END
            WHEN r.removed AND ({% for target in targets %}r.accepted_{{ loop.index0 }}{% if not loop.last %} OR {% endif %}{% endfor %})
                AND coalesce(r.tombstone < r.position, TRUE) THEN 'applied'
            WHEN r.removed THEN 'stale'
{% for target in targets %}
            WHEN r.accepted_{{ loop.index0 }} AND (r.takes_{{ loop.index0 }} OR r.is_there_{{ loop.index0 }}) THEN 'applied'
{% endfor %}
            WHEN {% for target in targets %}r.takes_{{ loop.index0 }}{% if not loop.last %} OR {% endif %}{% endfor %} THEN 'stale'
            ELSE 'ignored'
        END AS outcome
    FROM _cdc_resolved AS r
) AS judged
