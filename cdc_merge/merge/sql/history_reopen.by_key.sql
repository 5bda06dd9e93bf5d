-- What is no end any more: a late change has come in between.
DELETE FROM {{ target.history }}
USING _cdc_timeline_{{ target.number }} AS s
WHERE {% for key in target.keys %}{{ target.history | bare }}.{{ key.name }} = {{ key.staged }} AND {% endfor %}{{ target.history | bare }}._cdc_position = s.position
    AND (s.position <> '' OR {{ target.history | bare }}._cdc_valid_from = s.changed_at)
    AND {{ target.history | bare }}._cdc_operation = 'delete'
    AND coalesce(s.operation, '') <> 'delete'
