-- A row is valid until the next one of its item begins. (Only of a change without a time does its own beginning move.)
UPDATE {{ target.history }}
SET _cdc_valid_from = s.changed_at, _cdc_valid_to = s.valid_to
FROM _cdc_timeline_{{ target.number }} AS s
WHERE {% for key in target.keys %}{{ target.history | bare }}.{{ key.name }} = {{ key.staged }} AND {% endfor %}{{ target.history | bare }}._cdc_position = s.position
    AND (s.position <> '' OR {{ target.history | bare }}._cdc_valid_from = s.changed_at)
    AND s.operation = CASE WHEN {{ target.history | bare }}._cdc_operation = 'delete' THEN 'delete' ELSE 'version' END
    AND (
        CASE WHEN s.valid_to IS NULL THEN {{ target.history | bare }}._cdc_valid_to IS NOT NULL ELSE coalesce({{ target.history | bare }}._cdc_valid_to <> s.valid_to, TRUE) END
        OR coalesce({{ target.history | bare }}._cdc_valid_from <> s.changed_at, s.changed_at IS NOT NULL)
    )
