-- Indexes, statistics and constraints that people made, and the columns that each needs. Those of a fresh table are not
-- among them: its primary key, and what says NOT NULL.
-- https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG
SELECT
    'CONSTRAINT',
    CAST(k.conname AS text),
    pg_get_constraintdef(k.oid),
    ARRAY(
        SELECT CAST(a.attname AS text) FROM pg_attribute AS a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
    ),
    obj_description(k.oid, 'pg_constraint')
FROM pg_constraint AS k
WHERE k.conrelid = CAST({{ relation }} AS regclass) AND k.contype IN ('c', 'u', 'x')
UNION ALL
SELECT
    'INDEX',
    CAST(i.relname AS text),
    pg_get_indexdef(i.oid),
    ARRAY(
        SELECT DISTINCT CAST(a.attname AS text)
        FROM pg_depend AS d
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = CAST('pg_class' AS regclass)
            AND d.objid = i.oid
            AND d.refclassid = CAST('pg_class' AS regclass)
            AND d.refobjid = x.indrelid
    ),
    obj_description(i.oid, 'pg_class')
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
WHERE x.indrelid = CAST({{ relation }} AS regclass)
    AND x.indisvalid
    AND NOT EXISTS (
        SELECT 1 FROM pg_constraint AS k WHERE k.conindid = i.oid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u', 'x')
    )
UNION ALL
SELECT
    'STATISTICS',
    CAST(e.stxname AS text),
    pg_get_statisticsobjdef(e.oid),
    ARRAY(
        SELECT DISTINCT CAST(a.attname AS text)
        FROM pg_depend AS d
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = CAST('pg_statistic_ext' AS regclass)
            AND d.objid = e.oid
            AND d.refclassid = CAST('pg_class' AS regclass)
            AND d.refobjid = e.stxrelid
    ),
    obj_description(e.oid, 'pg_statistic_ext')
FROM pg_statistic_ext AS e
WHERE e.stxrelid = CAST({{ relation }} AS regclass)
ORDER BY 1, 2
