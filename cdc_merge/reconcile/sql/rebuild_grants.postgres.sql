-- Who may do what with relations and their columns; without a list of its own a relation has the default one.
-- https://www.postgresql.org/docs/current/ddl-priv.html
-- https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-ACLITEM-FN-TABLE
SELECT
    CAST(n.nspname AS text),
    CAST(c.relname AS text),
    p.attname,
    CASE p.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(p.grantee)) END,
    p.privilege_type,
    p.is_grantable,
    p.grantor = c.relowner
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT CAST(NULL AS text) AS attname, x.*
    FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS x
    UNION ALL
    SELECT CAST(a.attname AS text), x.*
    FROM pg_attribute AS a
    CROSS JOIN LATERAL aclexplode(a.attacl) AS x
    WHERE a.attrelid = c.oid AND NOT a.attisdropped
) AS p
WHERE c.oid IN ({% for relation in relations %}CAST({{ relation }} AS regclass){% if not loop.last %}, {% endif %}{% endfor %})
ORDER BY 1, 2, 3, 4, 5, 6
