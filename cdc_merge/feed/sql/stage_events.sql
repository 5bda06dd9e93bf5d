-- What a history has to know of each change of an item that its target could take.
CREATE OR REPLACE VIEW stage_events AS
SELECT l.n, l.partition_key, l.sort_key, l.position, f.changed_at
FROM distinct_changes AS l
JOIN history_facts AS f ON f.n = l.n
WHERE {{ could }}
