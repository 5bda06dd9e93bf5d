-- Views on the table, views on those, and so on; what a view is made of comes before it.
-- https://www.postgresql.org/docs/current/catalog-pg-depend.html
-- https://www.postgresql.org/docs/current/catalog-pg-rewrite.html
WITH RECURSIVE dependents (oid, depth) AS (
    SELECT r.ev_class, 1
    FROM pg_depend AS d
    JOIN pg_rewrite AS r ON r.oid = d.objid
    WHERE d.classid = CAST('pg_rewrite' AS regclass)
        AND d.refclassid = CAST('pg_class' AS regclass)
        AND d.refobjid = CAST({{ relation }} AS regclass)
        AND r.ev_class <> d.refobjid
    UNION
    SELECT r.ev_class, p.depth + 1
    FROM dependents AS p
    JOIN pg_depend AS d ON d.refobjid = p.oid
    JOIN pg_rewrite AS r ON r.oid = d.objid
    WHERE d.classid = CAST('pg_rewrite' AS regclass)
        AND d.refclassid = CAST('pg_class' AS regclass)
        AND r.ev_class <> d.refobjid
)
SELECT
    CAST(n.nspname AS text),
    CAST(c.relname AS text),
    CAST(c.relkind AS text),
    pg_get_viewdef(c.oid),
    coalesce(c.reloptions, '{}'),
    quote_ident(pg_get_userbyid(c.relowner)),
    pg_has_role(c.relowner, 'USAGE'),
    ARRAY(
        SELECT DISTINCT CAST(a.attname AS text)
        FROM pg_rewrite AS r
        JOIN pg_depend AS d ON d.classid = CAST('pg_rewrite' AS regclass) AND d.objid = r.oid
        JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE r.ev_class = c.oid
            AND d.refclassid = CAST('pg_class' AS regclass)
            AND d.refobjid = CAST({{ relation }} AS regclass)
            AND d.refobjsubid > 0
        ORDER BY 1
    )
FROM (SELECT oid, max(depth) AS depth FROM dependents GROUP BY oid) AS v
JOIN pg_class AS c ON c.oid = v.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY v.depth, n.nspname, c.relname
