-- The index that CLUSTER orders the table by. https://www.postgresql.org/docs/current/sql-cluster.html
SELECT CAST(i.relname AS text), x.indisprimary
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
WHERE x.indrelid = CAST({{ relation }} AS regclass) AND x.indisclustered
