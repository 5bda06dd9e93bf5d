-- How many rows of the newest changes have a value that a column does not take, by target and the column's number; with
-- the key of one, and its value if it was kept of any: those without one come last in the order of such structs.
SELECT m.target, m.number, m.misfits, m.first.value AS value, l.partition_key, l.sort_key
FROM (
    SELECT
        target, number, count(*) AS misfits,
        min(struct_pack(is_unknown := value IS NULL, n := n, value := value)) AS first
    FROM misfit_rows
    SEMI JOIN latest USING (n)
    GROUP BY target, number
) AS m
JOIN latest AS l ON l.n = m.first.n
ORDER BY m.target, m.number
