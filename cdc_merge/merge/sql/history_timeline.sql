-- All that is known of the touched keys, in order, and what each event is in this target's history: a version, the end
-- of one (the first event after it that is none), or nothing. A pure function of the events and versions that are
-- there, so the order in which they came does not matter. What was repaired as of a time comes after the last change of
-- that time or an earlier one, in the order of positions; `reach` says so, and never falls along that order. (NULL is
-- last on every engine, said or not.)
CREATE TEMPORARY TABLE _cdc_timeline_{{ target.number }} AS
SELECT
    placed.partition_key, placed.sort_key, placed.position, placed.began_at AS changed_at, placed.operation,
    lead(placed.began_at) OVER (
        PARTITION BY placed.partition_key, placed.sort_key, placed.operation IS NULL ORDER BY placed.place
    ) AS valid_to
FROM (
    SELECT
        known.*,
        -- A change without a time was made no earlier than those before it: that ends a version at a time that is known.
        coalesce(known.changed_at, max(known.changed_at) OVER (
            PARTITION BY known.partition_key, known.sort_key
            ORDER BY known.place ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        )) AS began_at,
        CASE
            WHEN known.is_version THEN 'version'
            WHEN lag(known.is_version) OVER (PARTITION BY known.partition_key, known.sort_key ORDER BY known.place)
                THEN 'delete'
        END AS operation
    FROM (
        SELECT
            s.partition_key, s.sort_key, s.position, s.changed_at,
            t._cdc_position IS NOT NULL AS is_version,
            row_number() OVER (
                PARTITION BY s.partition_key, s.sort_key ORDER BY s.reach, s.target, s.position
            ) AS place
        FROM (
            SELECT
                e.partition_key, e.sort_key, e.position, e.changed_at, e.target,
                min(e.changed_at) OVER (
                    PARTITION BY e.partition_key, e.sort_key, e.target, CASE WHEN e.target <> '' THEN e.changed_at END
                    ORDER BY e.position ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
                ) AS reach
            FROM {{ history_events }} AS e
            JOIN ({{ touched }}) AS k ON k.partition_key = e.partition_key AND k.sort_key = e.sort_key
            WHERE e.source = {{ source }}
                AND e.target IN ('', {{ target.label }})
        ) AS s
        LEFT JOIN {{ target.history }} AS t
            ON {% for key in target.keys %}t.{{ key.name }} = {{ key.staged }} AND {% endfor %}t._cdc_position = s.position
            AND t._cdc_operation <> 'delete'
            AND (s.position <> '' OR t._cdc_valid_from = s.changed_at)
    ) AS known
) AS placed
