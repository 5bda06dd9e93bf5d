-- What people set of single columns, as the ALTER COLUMN that sets it.
-- https://www.postgresql.org/docs/current/catalog-pg-attribute.html
SELECT CAST(a.attname AS text), x.action
FROM pg_attribute AS a
JOIN pg_type AS y ON y.oid = a.atttypid
LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
CROSS JOIN LATERAL (
    VALUES
        (CASE WHEN a.attstattarget >= 0 THEN 'SET STATISTICS ' || a.attstattarget END),
        (
            CASE WHEN a.attstorage <> y.typstorage THEN 'SET STORAGE ' || CASE a.attstorage
                WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED'
            END END
        ),
        -- Only Postgres 14 and newer have it, so it is not asked for by name.
        (CASE to_jsonb(a) ->> 'attcompression' WHEN 'p' THEN 'SET COMPRESSION pglz' WHEN 'l' THEN 'SET COMPRESSION lz4' END),
        ('SET (' || array_to_string(a.attoptions, ', ') || ')'),
        (CASE WHEN a.attgenerated = '' THEN 'SET DEFAULT ' || pg_get_expr(f.adbin, f.adrelid) END)
) AS x (action)
WHERE a.attrelid = CAST({{ relation }} AS regclass) AND a.attnum > 0 AND NOT a.attisdropped AND x.action IS NOT NULL
ORDER BY a.attnum, 2
