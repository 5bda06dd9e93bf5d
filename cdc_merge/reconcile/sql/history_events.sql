-- A repair is an event of this target alone, as of the floor. An extra row is known by an earlier event of its key, or
-- the history has no version of it.
INSERT INTO {{ history_events }} (source, target, partition_key, sort_key, position, changed_at)
SELECT {{ source }}, {{ target.label }}, found.partition_key, found.sort_key, '', {{ floor }}
FROM (
    SELECT s.partition_key, s.sort_key
    FROM _cdc_keys AS s
    JOIN _cdc_verdicts_{{ target.number }} AS v ON v.n = s.n
    WHERE v.verdict IN ('missing', 'different')
    UNION
    SELECT s.partition_key, s.sort_key
    FROM {{ history_events }} AS s
    JOIN _cdc_verdicts_{{ target.number }} AS v
        ON {% for key in target.keys %}v.k{{ loop.index0 }} = {{ key.staged }}{% if not loop.last %} AND {% endif %}{% endfor %}

    WHERE s.source = {{ source }}
        AND v.verdict = 'extra'
) AS found
WHERE NOT EXISTS (
    SELECT 1
    FROM {{ history_events }} AS e
    WHERE e.source = {{ source }}
        AND e.target = {{ target.label }}
        AND e.partition_key = found.partition_key
        AND e.sort_key = found.sort_key
        AND e.changed_at = {{ floor }}
)
