-- Rows of items that are gone stay, as gone since the time the export can vouch for.
UPDATE {{ target.table }} AS t
SET _cdc_deleted_at = {{ floor }}, _cdc_merged_at = {{ merged_at }}
FROM _cdc_verdicts_{{ target.number }} AS v
WHERE t.{{ row_address }} = v.address
    AND v.verdict = 'extra'
