-- What would be lost with the table, and cannot be made anew from here: triggers, and keys of other tables.
-- https://duckdb.org/docs/stable/sql/meta/duckdb_table_functions
SELECT 'foreign key of ' || k.table_name
FROM duckdb_constraints() AS k
WHERE k.database_name = current_database()
    AND k.schema_name = {{ schema }}
    AND k.constraint_type = 'FOREIGN KEY'
    AND (k.table_name = {{ name }} OR k.referenced_table = {{ name }})
UNION
SELECT 'trigger ' || g.trigger_name || ' on ' || g.table_name
FROM duckdb_triggers() AS g
WHERE g.database_name = current_database() AND g.schema_name = {{ schema }} AND g.table_name = {{ name }}
UNION
SELECT 'view ' || v.view_name || ', which has the table''s name'
FROM duckdb_views() AS v
WHERE v.database_name = current_database() AND v.schema_name = {{ schema }} AND v.view_name = {{ name }}
ORDER BY 1
