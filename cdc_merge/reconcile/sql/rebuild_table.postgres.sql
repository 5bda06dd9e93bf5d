-- Who owns the table, and how it is stored. https://www.postgresql.org/docs/current/catalog-pg-class.html
SELECT
    quote_ident(pg_get_userbyid(c.relowner)),
    pg_has_role(c.relowner, 'USAGE'),
    CAST(c.relpersistence AS text),
    quote_ident(ts.spcname),
    CAST(c.relreplident AS text),
    coalesce(c.reloptions, '{}'),
    coalesce(toast.reloptions, '{}')
FROM pg_class AS c
LEFT JOIN pg_class AS toast ON toast.oid = c.reltoastrelid
LEFT JOIN pg_tablespace AS ts ON ts.oid = c.reltablespace
WHERE c.oid = CAST({{ relation }} AS regclass)
