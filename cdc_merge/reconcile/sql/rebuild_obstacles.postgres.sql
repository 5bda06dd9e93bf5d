-- What would be lost with the table or a view on it, and cannot be made anew from here.
-- https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-OBJECT
WITH relations (oid) AS (
    VALUES {% for relation in relations %}(CAST({{ relation }} AS regclass)){% if not loop.last %}, {% endif %}{% endfor %}

), found (classid, objid) AS (
    SELECT CAST('pg_trigger' AS regclass), t.oid
    FROM pg_trigger AS t
    WHERE t.tgrelid IN (SELECT oid FROM relations) AND NOT t.tgisinternal
    UNION
    SELECT CAST('pg_policy' AS regclass), p.oid
    FROM pg_policy AS p
    WHERE p.polrelid IN (SELECT oid FROM relations)
    UNION
    SELECT CAST('pg_constraint' AS regclass), k.oid
    FROM pg_constraint AS k
    WHERE k.contype = 'f' AND (k.conrelid IN (SELECT oid FROM relations) OR k.confrelid IN (SELECT oid FROM relations))
    UNION
    SELECT CAST('pg_publication_rel' AS regclass), p.oid
    FROM pg_publication_rel AS p
    WHERE p.prrelid IN (SELECT oid FROM relations)
    UNION
    SELECT CAST('pg_rewrite' AS regclass), r.oid
    FROM pg_rewrite AS r
    WHERE r.ev_class IN (SELECT oid FROM relations) AND r.rulename <> '_RETURN'
    UNION
    -- Defaults of the columns of a view.
    SELECT CAST('pg_attrdef' AS regclass), f.oid
    FROM pg_attrdef AS f
    JOIN pg_class AS c ON c.oid = f.adrelid
    WHERE c.oid IN (SELECT oid FROM relations) AND c.relkind = 'v'
    UNION
    -- Materialized views, and a table that is no plain one.
    SELECT CAST('pg_class' AS regclass), c.oid
    FROM pg_class AS c
    WHERE c.oid IN (SELECT oid FROM relations) AND c.relkind NOT IN ('r', 'v')
    UNION
    SELECT CAST('pg_class' AS regclass), i.inhrelid
    FROM pg_inherits AS i
    WHERE i.inhparent IN (SELECT oid FROM relations) OR i.inhrelid IN (SELECT oid FROM relations)
    UNION
    -- Functions, tables and others that use it or the type of its rows.
    SELECT d.classid, d.objid
    FROM pg_depend AS d
    WHERE d.deptype = 'n'
        AND d.classid NOT IN (
            CAST('pg_rewrite' AS regclass), CAST('pg_constraint' AS regclass), CAST('pg_trigger' AS regclass),
            CAST('pg_policy' AS regclass), CAST('pg_publication_rel' AS regclass), CAST('pg_attrdef' AS regclass)
        )
        AND (
            (d.refclassid = CAST('pg_class' AS regclass) AND d.refobjid IN (SELECT oid FROM relations))
            OR (
                d.refclassid = CAST('pg_type' AS regclass)
                AND d.refobjid IN (
                    SELECT unnest(ARRAY[t.oid, t.typarray])
                    FROM pg_class AS c
                    JOIN pg_type AS t ON t.oid = c.reltype
                    WHERE c.oid IN (SELECT oid FROM relations)
                )
            )
        )
)
SELECT pg_describe_object(f.classid, f.objid, 0) FROM found AS f
UNION
SELECT 'row-level security of ' || pg_describe_object(CAST('pg_class' AS regclass), c.oid, 0)
FROM pg_class AS c
WHERE c.oid IN (SELECT oid FROM relations) AND (c.relrowsecurity OR c.relforcerowsecurity)
ORDER BY 1
