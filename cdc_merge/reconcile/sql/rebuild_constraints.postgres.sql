-- The names of a new table's own constraints, which it got while it had another name.
SELECT
    CAST(k.conname AS text),
    CAST(k.contype AS text),
    (SELECT CAST(a.attname AS text) FROM pg_attribute AS a WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1])
FROM pg_constraint AS k
WHERE k.conrelid = CAST({{ relation }} AS regclass)
ORDER BY 1
