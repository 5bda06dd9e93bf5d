-- The names that are taken in a table's schema.
SELECT CAST(c.relname AS text)
FROM pg_class AS c
WHERE c.relnamespace = (SELECT o.relnamespace FROM pg_class AS o WHERE o.oid = CAST({{ relation }} AS regclass))
