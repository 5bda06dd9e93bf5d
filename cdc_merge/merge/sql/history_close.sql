-- A row is valid until the next one of its item begins. (Only of a change without a time does its own beginning move.)
UPDATE {{ target.history }} AS t
SET _cdc_valid_from = s.changed_at, _cdc_valid_to = s.valid_to
FROM _cdc_timeline_{{ target.number }} AS s
WHERE {% for key in target.keys %}t.{{ key.name }} = {{ key.staged }} AND {% endfor %}t._cdc_position = s.position
    AND (s.position <> '' OR t._cdc_valid_from = s.changed_at)
    AND s.operation = CASE WHEN t._cdc_operation = 'delete' THEN 'delete' ELSE 'version' END
    AND (t._cdc_valid_to IS DISTINCT FROM s.valid_to OR t._cdc_valid_from IS DISTINCT FROM s.changed_at)
