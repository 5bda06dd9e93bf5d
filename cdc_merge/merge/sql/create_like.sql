-- For the privileges that people have on the old table; its columns are not asked for.
-- https://docs.snowflake.com/en/sql-reference/sql/create-table#create-table-like
CREATE OR REPLACE TABLE {{ new.table }} LIKE {{ target.table }} COPY GRANTS
