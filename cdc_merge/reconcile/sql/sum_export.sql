-- The same of the export.
CREATE TEMPORARY TABLE _cdc_exported_{{ target.number }} AS
SELECT
    {{ staged_key_hash }} % {{ buckets }} AS bucket,
    count(*) AS rows,
    sum({{ whole_staged }}) AS total
FROM (
{{ hashed_rows }}
) AS s
GROUP BY bucket
