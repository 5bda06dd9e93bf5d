-- What one target was like, and what was done.
INSERT INTO {{ reconciliations }} (
    reconciliation_id, source, target, export, method, as_of, floor_at, items, unusable,
    equal_rows, missing, extra, different, newer, repaired, tombstones_collected,
    details, overridden, worker, started_at, finished_at
)
VALUES (
    {{ id }}, {{ source }}, {{ target.label }}, {{ export }}, {{ method }}, {{ as_of }}, {{ floor }}, {{ items }}, {{ unusable }},
    {{ equal }}, {{ missing }}, {{ extra }}, {{ different }}, {{ newer }}, {{ repaired }}, {{ collected }},
    {{ details }}, {{ overridden }}, {{ worker }}, {{ started_at }}, {{ finished_at }}
)
