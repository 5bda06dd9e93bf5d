-- What is no end any more: a late change has come in between.
DELETE FROM {{ target.history }} AS t
USING _cdc_timeline_{{ target.number }} AS s
WHERE {% for key in target.keys %}t.{{ key.name }} = {{ key.staged }} AND {% endfor %}t._cdc_position = s.position
    AND (s.position <> '' OR t._cdc_valid_from = s.changed_at)
    AND t._cdc_operation = 'delete'
    AND s.operation IS DISTINCT FROM 'delete'
