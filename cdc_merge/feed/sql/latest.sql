-- The newest change of each key, numbered. Only where it lies is kept: its image is read in the second pass. The largest
-- of whole places costs less than the place of the largest position.
CREATE OR REPLACE TABLE latest AS
SELECT
    CAST(row_number() OVER () AS BIGINT) AS n,
    partition_key,
    sort_key,
    newest.position AS position,
    newest.chunk AS chunk,
    newest.idx AS idx
FROM (
    SELECT
        partition_key,
        sort_key,
        max(struct_pack(position, chunk, idx)) AS newest
    FROM changes
    GROUP BY partition_key, sort_key
)
