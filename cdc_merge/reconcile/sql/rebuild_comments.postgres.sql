-- Comments on relations and their columns. https://www.postgresql.org/docs/current/catalog-pg-description.html
SELECT CAST(n.nspname AS text), CAST(c.relname AS text), CAST(a.attname AS text), d.description
FROM pg_description AS d
JOIN pg_class AS c ON c.oid = d.objoid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE d.classoid = CAST('pg_class' AS regclass)
    AND c.oid IN ({% for relation in relations %}CAST({{ relation }} AS regclass){% if not loop.last %}, {% endif %}{% endfor %})
ORDER BY 1, 2, 3
