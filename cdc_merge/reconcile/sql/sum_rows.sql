-- How many rows each bucket of keys has in the table, and what the hashes of whole rows come to.
CREATE TEMPORARY TABLE _cdc_here_{{ target.number }} AS
SELECT
    {{ row_key_hash }} % {{ buckets }} AS bucket,
    count(*) AS rows,
    sum({{ whole_row }}) AS total
FROM {{ target.table }} AS t
GROUP BY bucket
