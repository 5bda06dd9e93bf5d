-- Every distinct change of the keys that can be used, numbered. Equal positions are the same change.
CREATE OR REPLACE TABLE distinct_changes AS
SELECT
    CAST(row_number() OVER () AS BIGINT) AS n,
    partition_key,
    sort_key,
    position,
    line.chunk AS chunk,
    line.idx AS idx
FROM (
    SELECT partition_key, sort_key, position, min(struct_pack(chunk, idx)) AS line
    FROM changes
    WHERE (partition_key, sort_key) IN (SELECT (partition_key, sort_key) FROM latest)
    GROUP BY partition_key, sort_key, position
)
