-- A batch without one usable record: no target is touched.
INSERT INTO {{ batches }} (
    batch_id, source, worker, merged_at, newest_change_at, objects, records, applied, superseded, stale, ignored, quarantined
)
VALUES (
    {{ batch_id }}, {{ source }}, {{ worker }}, {{ merged_at }}, {{ newest_change_at }}, {{ objects }}, {{ records }},
    0, {{ superseded }}, 0, 0, {{ quarantined }}
)
