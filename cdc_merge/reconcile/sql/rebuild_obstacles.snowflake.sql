-- What hides values or rows of the old table, and would hide nothing of the new one; as far as the role is told of it.
-- https://docs.snowflake.com/en/sql-reference/functions/policy_references
SELECT lower(replace(p.policy_kind, '_', ' ')) || ' ' || p.policy_name || coalesce(' on ' || p.ref_column_name, '')
FROM TABLE(information_schema.policy_references(ref_entity_name => {{ relation }}, ref_entity_domain => 'TABLE')) AS p
ORDER BY 1
