-- Rows the export does not have, or has with other values.
DELETE FROM {{ target.table }} AS t
USING _cdc_verdicts_{{ target.number }} AS v
WHERE t.{{ row_address }} = v.address
    AND v.verdict IN ({% if not target.is_soft %}'extra', {% endif %}'different')
