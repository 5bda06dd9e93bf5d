-- What the batch did to one target.
INSERT INTO {{ batch_targets }} (batch_id, target, inserted, updated, deleted)
SELECT
    {{ batch_id }}, {{ target.label }},
    count(*) FILTER (WHERE r.takes_{{ target.number }} AND r.own_{{ target.number }} IS NULL),
    count(*) FILTER (WHERE r.takes_{{ target.number }} AND r.own_{{ target.number }} IS NOT NULL),
    count(*) FILTER (WHERE NOT r.takes_{{ target.number }} AND r.own_{{ target.number }} IS NOT NULL)
FROM _cdc_resolved AS r
WHERE r.accepted_{{ target.number }}
