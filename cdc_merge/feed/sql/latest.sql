-- The newest change of each key, numbered. Only where it lies is kept: its image is read in the second pass.
CREATE OR REPLACE TABLE latest AS
SELECT
    CAST(row_number() OVER () AS BIGINT) AS n,
    partition_key,
    sort_key,
    position,
    line.chunk AS chunk,
    line.idx AS idx
FROM (
    SELECT
        partition_key,
        sort_key,
        max(position) AS position,
        arg_max(struct_pack(chunk, idx), position) AS line
    FROM changes
    GROUP BY partition_key, sort_key
)
