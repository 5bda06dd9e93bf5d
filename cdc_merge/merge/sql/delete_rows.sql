-- The rows of accepted changes go, replaced or not. They are found by their address within this transaction.
DELETE FROM {{ target.table }} AS t
USING _cdc_resolved AS r
WHERE t.{{ row_address }} = r.row_{{ target.number }}
    AND r.accepted_{{ target.number }}
