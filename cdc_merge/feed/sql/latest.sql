-- The newest change of each key, numbered; one of the native store keeps the number under which rows of it may be staged.
-- Only where it lies is kept. The largest of whole places costs less than the place of the largest position.
CREATE OR REPLACE TABLE latest AS
SELECT
    coalesce(newest.n, {{ given }} + row_number() OVER ()) AS n,
    partition_key,
    sort_key,
    newest.position AS position,
    newest.chunk AS chunk,
    newest.idx AS idx
FROM (
    SELECT
        partition_key,
        sort_key,
        max(struct_pack(position, chunk, idx, n)) AS newest
    FROM changes
    GROUP BY partition_key, sort_key
)
