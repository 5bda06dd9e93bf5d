-- An export came first and showed the keys' types; the first record shows what orders the changes.
UPDATE {{ sources }}
SET ordering = {{ ordering }}, table_arn = coalesce(table_arn, {{ table_arn }})
WHERE source = {{ source }}
