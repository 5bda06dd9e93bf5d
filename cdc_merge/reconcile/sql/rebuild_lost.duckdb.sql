-- Constraints that people added: a table is only given most of them when it is created.
-- https://duckdb.org/docs/stable/sql/statements/alter_table#add--drop-constraint
SELECT k.constraint_text
FROM duckdb_constraints() AS k
WHERE k.database_name = current_database()
    AND k.schema_name = {{ schema }}
    AND k.table_name = {{ name }}
    AND k.constraint_type NOT IN ('NOT NULL', 'FOREIGN KEY')
ORDER BY 1
