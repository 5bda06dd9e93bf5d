-- The buckets that are not the same on both sides, or have keys that the feed knows better: only their rows are compared.
CREATE TEMPORARY TABLE _cdc_buckets_{{ target.number }} AS
SELECT
    coalesce(s.bucket, t.bucket) AS bucket,
    -- The smaller side is the one that a join holds in memory.
    least(coalesce(s.rows, 0), coalesce(t.rows, 0)) AS rows
FROM _cdc_exported_{{ target.number }} AS s
FULL JOIN _cdc_here_{{ target.number }} AS t ON t.bucket = s.bucket
WHERE s.rows IS DISTINCT FROM t.rows
    OR s.total IS DISTINCT FROM t.total
    OR coalesce(s.bucket, t.bucket) IN (SELECT {{ newer_key_hash }} % {{ buckets }} FROM _cdc_newer AS w)
